"""Measurements of trustls beside `ssl`, pyOpenSSL, rtls and tlslite-ng: `python -m bench`, or `make bench`."""
