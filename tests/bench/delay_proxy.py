#!/usr/bin/env python3
"""A link with a delay: forwards TCP connections, every byte MS milliseconds later, in each direction.

usage: delay_proxy.py LISTEN-PORT TARGET-PORT MS        (both on 127.0.0.1)
"""
import asyncio
import sys


async def pump(reader, writer, delay):
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
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    delivering = asyncio.create_task(deliver())
    try:
        while True:
            data = await reader.read(1 << 16)
            queue.put_nowait((loop.time() + delay, data))
            if not data:
                break
        await delivering
    except (ConnectionError, asyncio.IncompleteReadError):
        delivering.cancel()


async def main(listen, target, delay):
    async def connected(reader, writer):
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(
            pump(reader, there_writer, delay), pump(there_reader, writer, delay), return_exceptions=True)
        for end in (writer, there_writer):
            end.close()

    server = await asyncio.start_server(connected, "127.0.0.1", listen)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__.strip().splitlines()[-1])
    try:
        asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
    except KeyboardInterrupt:
        pass
