"""A course's own web application, as the tests have it: it says what it was sent, and answers on a websocket."""

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


class Echo(websocket.WebSocketHandler):
    """Tornado refuses a websocket whose Origin is not its own Host."""

    async def on_message(self, message: str | bytes) -> None:
        await self.write_message(message)


def main() -> None:
    """Serve on the port that the unit names."""
    routes: list[tuple[str, type]] = [(r"/away", Away), (r"/socket", Echo), (r"/.*", Headers)]
    web.Application(routes).listen(int(os.environ["PORT"]), "127.0.0.1", max_buffer_size=200 << 20)
    ioloop.IOLoop.current().start()


if __name__ == "__main__":
    main()
