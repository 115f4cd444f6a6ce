"""A course's own web application, as the tests have it: it says what it was sent, and answers on a websocket.

It counts an upload of any size, and can be silent in the middle of an answer.
"""

import asyncio
import json
import os

from tornado import ioloop, web, websocket


class Headers(web.RequestHandler):
    """What the application was sent."""

    def get(self) -> None:
        self.set_cookie("own", "kept", path="/")
        self.write(json.dumps({"path": self.request.uri, **self.request.headers}))

    def post(self) -> None:
        self.write(json.dumps({"bytes": len(self.request.body)}))


class Away(web.RequestHandler):
    """A redirect as most frameworks write it."""

    def get(self) -> None:
        self.redirect("/landed")


@web.stream_request_body
class Sink(web.RequestHandler):
    """Counts the bytes of an upload as they come, and keeps none."""

    count = 0

    def data_received(self, chunk: bytes) -> None:
        self.count += len(chunk)

    def post(self) -> None:
        self.write(json.dumps({"bytes": self.count}))


class Slow(web.RequestHandler):
    """An answer that pauses for as many seconds as it is asked to."""

    async def get(self) -> None:
        self.write("first ")
        await self.flush()
        await asyncio.sleep(float(self.get_argument("seconds")))
        self.write("last")


class Echo(websocket.WebSocketHandler):
    """Tornado refuses a websocket whose Origin is not its own Host."""

    async def on_message(self, message: str | bytes) -> None:
        await self.write_message(message)


def main() -> None:
    """Serve on the port that the unit names."""
    routes: list[tuple[str, type]] = [(r"/away", Away), (r"/socket", Echo), (r"/sink", Sink), (r"/slow", Slow)]
    routes.append((r"/.*", Headers))
    web.Application(routes).listen(
        int(os.environ["PORT"]), "127.0.0.1", max_buffer_size=200 << 20, max_body_size=2 << 30
    )
    ioloop.IOLoop.current().start()


if __name__ == "__main__":
    main()
