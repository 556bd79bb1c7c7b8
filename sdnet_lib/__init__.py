"""The library behind the COVID-SDNet course: small modules, data flowing one way.

Importing this package does nothing but define names: no seed is set, no warning silenced, no file or
network touched.
"""

__version__ = "0.1.0"
