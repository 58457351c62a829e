#!/usr/bin/env python3
"""A link with a delay: forwards TCP connections, every byte MS milliseconds later, in each direction.

usage: delay_proxy.py LISTEN-PORT TARGET-PORT MS TURNS        (ports of 127.0.0.1)

The file TURNS holds, as a native 64-bit number, how often a client has said something after it had heard something:
the round trips that the client has waited for, whatever the connection carries.
"""
import asyncio
import mmap
import struct
import sys


class Turns:
    """Counts for one connection into the file of all."""

    def __init__(self, counter):
        self.counter, self.heard = counter, True

    def server(self):
        self.heard = True

    def client(self):
        if self.heard:
            self.heard = False
            struct.pack_into("=q", self.counter, 0, struct.unpack_from("=q", self.counter)[0] + 1)


async def pump(reader, writer, delay, said, heard):
    """Bytes keep their order and their distances; a slow reader does not hold back the one that sends."""
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue()

    async def deliver():
        while True:
            due, data = await queue.get()
            wait = due - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            if not data:
                break
            heard()
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    delivering = asyncio.create_task(deliver())
    try:
        while True:
            data = await reader.read(1 << 16)
            if data:
                said()
            queue.put_nowait((loop.time() + delay, data))
            if not data:
                break
        await delivering
    except (ConnectionError, asyncio.IncompleteReadError):
        delivering.cancel()


async def main(listen, target, delay, counter):
    async def connected(reader, writer):
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        turns = Turns(counter)
        await asyncio.gather(
            pump(reader, there_writer, delay, turns.client, lambda: None),
            pump(there_reader, writer, delay, lambda: None, turns.server), return_exceptions=True)
        for end in (writer, there_writer):
            end.close()

    server = await asyncio.start_server(connected, "127.0.0.1", listen)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__.splitlines()[2])
    with open(sys.argv[4], "w+b") as file:
        file.write(bytes(8))
        file.flush()
        number = mmap.mmap(file.fileno(), 8)
    try:
        asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000, number))
    except KeyboardInterrupt:
        pass
