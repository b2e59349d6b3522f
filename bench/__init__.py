"""Measurements of trustls beside `ssl`, pyOpenSSL and rtls: `python -m bench`, or `make bench`."""
