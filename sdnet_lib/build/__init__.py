"""From a hospital's archive of DICOM files to a release that nobody can be recognised in: `sdnet build`."""
