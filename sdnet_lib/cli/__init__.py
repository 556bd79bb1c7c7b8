"""The command `sdnet`: thin; each command hands its options to one function of the library."""
