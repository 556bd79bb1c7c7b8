"""Colours and words that figures and the panels of `sdnet predict` share; needs no plotting library."""

# Okabe and Ito's palette: distinct for readers with any kind of colour vision, and in print.
COLOURS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermilion": "#D55E00",
    "sky": "#56B4E9",
    "purple": "#CC79A7",
    "yellow": "#F0E442",
    "black": "#000000",
    "grey": "#777777",
}
CLASS_COLOURS = {"N": COLOURS["blue"], "P": COLOURS["vermilion"]}
HEAT = "viridis"  # even, and distinct for readers with any kind of colour vision and in print
STRONGEST = 0.65  # opacity of the highest value of a map; zero is transparent
WHY = {"P": "why positive", "N": "why negative"}
ORDER = ("N", "P")  # of the maps
