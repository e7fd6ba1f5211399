"""The camera's response: a Gaussian, and a wide, faint haze of scatter that its correction has left."""

import numpy as np

from dlmi_tasks.spect.anatomy.grid import SHAPE, Volume, compute_sigma

HAZE_FWHM_MM = 45.0
# Room for the blur at the grid's edges; products of small primes, for the FFT.
PADDED = (108, 128, 108)


def blur(volume: Volume, fwhm_mm: float, haze: float = 0.0) -> Volume:
    """Convolve with the camera's response: a Gaussian, and a share `haze` of a wide one for residual scatter."""
    from scipy import fft

    spectrum = fft.rfftn(volume, PADDED)
    response = (1 - haze) * _make_transfer(fwhm_mm)
    if haze:
        response += haze * _make_transfer(HAZE_FWHM_MM)
    spectrum *= response
    blurred: Volume = fft.irfftn(spectrum, PADDED, overwrite_x=True)[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return blurred


def _make_transfer(fwhm_mm: float) -> Volume:
    """Fourier transform of a Gaussian on the padded grid, real half."""
    sigma = compute_sigma(fwhm_mm)
    frequencies = (np.fft.fftfreq(PADDED[0]), np.fft.fftfreq(PADDED[1]), np.fft.rfftfreq(PADDED[2]))
    a, b, c = (np.exp(-2 * (np.pi * sigma * f) ** 2).astype(np.float32) for f in frequencies)
    transfer: Volume = a[:, None, None] * b[:, None] * c
    return transfer
