"""Owns what number formats a device computes in; does not choose one."""

import torch


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is native there, and so faster than float32 rather than emulated."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
