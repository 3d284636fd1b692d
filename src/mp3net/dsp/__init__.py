"""Signal processing: the MDCT and the psychoacoustic model."""
