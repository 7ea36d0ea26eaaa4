# SPDX-License-Identifier: GPL-3.0-or-later
"""The hash grid field and its rendering as Triton kernels that keep what they compute in registers.

What `backend.radiance.rendering` does in general, for one case: a hash grid of two features a level under
two small networks without biases. `marching` finds the samples, `field` gives their densities and colours,
`compositing` makes pixels of them, `rendering` joins the three. Nothing between position and colour is ever
written to memory; the backward pass computes it again.
"""
