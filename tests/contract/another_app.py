"""An application that is not the example and knows one line of gwz-instrument: `python another_app.py` prints its port."""

import logging
import socket

import uvicorn
from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from opentelemetry import trace
from prometheus_client import Counter

from gwz_instrument import annotate, instrument

app = FastAPI()
orders = APIRouter(prefix="/orders")
sold = Counter("orders_sold", "Orders of the shop.", ["kind"])
log = logging.getLogger("shop")


@orders.get("/{order}")
async def show(order: int):
    log.warning("order %s was asked for", order, extra={"order": order, "status_code": "not ours"})
    trace.get_current_span().set_attribute("shop.order", order)
    sold.labels("book").inc()
    return {"order": order}


@orders.get("/{order}/chat")
async def chat(order: int):
    log.info("order %s is discussed", order)
    annotate(provider="openai", model="gpt-4o")

    async def words():
        for word in ("one", "two", "three"):
            yield word

    return StreamingResponse(words())


@orders.post("/{order}/fail")
async def fail(order: int):
    with trace.get_tracer("shop").start_as_current_span("counting", attributes={"http.status_code": "not ours"}):
        raise RuntimeError(f"order {order} is lost")


@app.get("/teapot")
async def teapot():
    raise HTTPException(418)


app.include_router(orders)
instrument(app)

if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)  # noqa: T201
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
