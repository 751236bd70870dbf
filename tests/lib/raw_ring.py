# SPDX-License-Identifier: MIT
"""A virtqueue whose every field a test writes itself (virtio 1.2, 2.7 and 2.8): what no driver would offer."""
import struct

NEXT, WRITE, INDIRECT = 1, 2, 4
AVAIL, USED = 1 << 7, 1 << 15


class RawRing:
    """On a vring of a FrontEnd that has started it and not used it since: the front-end's own driver knows nothing of
    what is written here."""

    def __init__(self, front, vring, packed):
        self.front, self.vring, self.packed = front, vring, packed
        places = front.ring(vring=vring)
        self.desc, self.avail, self.used = places["desc"], places["avail"], places["used"]
        self.size = places["size"]
        self.next = 0      # split: the next descriptor that is free; packed: the next place of the ring
        self.wrap = True
        self.offered = 0   # split: avail->idx

    def write_descriptor(self, index, gpa, length, flags=0, next_index=0, table=None):
        """Entry INDEX as it stands; for a packed ring NEXT_INDEX is the id, and it isn't made available."""
        at = (self.desc if table is None else table) + 16 * index
        last = (next_index, flags) if self.packed else (flags, next_index)
        self.front.write(at, struct.pack("<QIHH", gpa & (1 << 64) - 1, length, *last))

    def offer(self, *descriptors, kick=True):
        """One chain of (gpa, length, flags) each, linked, made available."""
        if self.packed:
            self._offer_packed(descriptors)
        else:
            head = self.next
            for i, (gpa, length, flags) in enumerate(descriptors):
                more = NEXT if i + 1 < len(descriptors) else 0
                self.write_descriptor(head + i, gpa, length, flags | more, head + i + 1 if more else 0)
            self.next += len(descriptors)
            self.offer_heads(head, kick=False)
        if kick:
            self.kick()

    def _offer_packed(self, descriptors):
        begin = self.next
        entries = []
        for i, (gpa, length, flags) in enumerate(descriptors):
            flags |= (NEXT if i + 1 < len(descriptors) else 0) | (AVAIL if self.wrap else USED)
            entries.append((self.next, gpa, length, flags))
            self.next += 1
            if self.next == self.size:
                self.next, self.wrap = 0, not self.wrap
        for index, gpa, length, flags in reversed(entries):  # the head last: it shows the others
            self.write_descriptor(index, gpa, length, flags, begin)

    def offer_heads(self, *heads, kick=True):
        """Split: entries of the available ring."""
        for head in heads:
            self.front.write(self.avail + 4 + 2 * (self.offered % self.size), struct.pack("<H", head))
            self.offered += 1
        self.set_avail(self.offered & 0xffff)
        if kick:
            self.kick()

    def set_avail(self, index):
        self.front.write(self.avail + 2, struct.pack("<H", index))

    def table(self, gpa, *descriptors):
        """An indirect table there, linked in its order; its length in bytes."""
        for i, (address, length, flags) in enumerate(descriptors):
            more = NEXT if i + 1 < len(descriptors) and not self.packed else 0
            self.write_descriptor(i, address, length, flags | more, i + 1 if more else 0, gpa)
        return 16 * len(descriptors)

    def kick(self):
        self.front.kick(vring=self.vring)

    def used_count(self):
        """Split: used->idx."""
        return struct.unpack("<H", self.front.read(self.used + 2, 2))[0]

    def is_used(self, index):
        """Packed: whether the device has written back that entry in the ring's first round."""
        flags = struct.unpack("<H", self.front.read(self.desc + 16 * index + 14, 2))[0]
        return flags & (AVAIL | USED) == AVAIL | USED
