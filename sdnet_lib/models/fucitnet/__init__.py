"""FuCiTNet: two generators that make twins of an image, trained with the classifier that reads them."""
