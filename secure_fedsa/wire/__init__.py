"""Bytes between parties: canonical encoding, signatures, sealing."""
