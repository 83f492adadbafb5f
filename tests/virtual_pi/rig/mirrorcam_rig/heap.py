"""Memory for picamera2's buffers where the kernel has no DMA heaps, as Debian's for arm64: files in RAM, by udmabuf."""

import fcntl
import mmap
import os
import struct

from picamera2.dma_heap import UniqueFD

# linux/udmabuf.h
_CREATE = 0x40187542  # _IOW('u', 0x42, struct udmabuf_create)
_CLOSE_ON_EXEC = 1


class UdmabufHeap:
    """Stands in for picamera2's DmaHeap."""

    def __init__(self) -> None:
        self._device = os.open("/dev/udmabuf", os.O_RDWR | os.O_CLOEXEC)

    def alloc(self, name: str, size: int) -> UniqueFD:
        """Return a dma-buf of at least `size` bytes; raises OSError."""
        whole = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        memory = os.memfd_create(name, os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        try:
            os.ftruncate(memory, whole)
            fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
            wanted = bytearray(struct.pack("=IIQQ", memory, _CLOSE_ON_EXEC, 0, whole))
            return UniqueFD(fcntl.ioctl(self._device, _CREATE, wanted))
        finally:
            os.close(memory)

    def close(self) -> None:
        """Give the device back."""
        os.close(self._device)
