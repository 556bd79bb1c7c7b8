"""Cross-validation, trained models and predictions: all that writes results."""

import logging

# torch's timers and fakes look for a CUDA compiler, and complain if there is one without a GPU
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
