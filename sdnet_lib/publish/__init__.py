"""The book: notebooks executed, pages built, and what a notebook calls first and last."""
