"""Small trees in publishers' own layouts, and how to spoil them."""

import gzip
import io

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from data_scripts.registry import load_cohort
from sdnet_lib.data.cohort import CohortError


def refusal(name):
    """Return what asserts that a set in a folder is refused with a message, on one line."""

    def refused(root, message):
        with pytest.raises(CohortError) as caught:
            load_cohort(name, data=root)
        assert message in str(caught.value) and "\n" not in str(caught.value), caught.value

    return refused


def put(path, content):
    """Write a file, text or bytes, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def put_table(path, rows, columns, encoding="utf-8", sep=","):
    """Write a table as its publisher does; packed by gzip if its name says so."""
    content = pd.DataFrame(rows, columns=list(columns)).to_csv(index=False, sep=sep).encode(encoding)
    put(path, gzip.compress(content) if path.suffix == ".gz" else content)


def wide_picture(number):
    """Return a PNG of 16 bits, of which 12 are used."""
    pixels = np.random.default_rng(number).integers(0, 4096, (10, 12)).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def film(number):
    """Return a DICOM file of 8 bits."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = f"1.2.{number + 1}"
    dataset.SOPClassUID, dataset.Modality, dataset.ViewPosition = SecondaryCaptureImageStorage, "CR", "PA"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 10, 12, 1
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = np.random.default_rng(number).integers(0, 255, (10, 12), np.uint8).tobytes()
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
