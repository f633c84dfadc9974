"""The gateway's database: the catalog, and one row for every completion that was delivered."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import JSON, Engine, create_engine, event, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from fastapi_app.catalog import Model
from gwz_instrument import Telemetry


class _Table(DeclarativeBase):
    pass


class _Model(_Table):
    __tablename__ = "models"

    id: Mapped[str] = mapped_column(primary_key=True)
    providers: Mapped[list[str]] = mapped_column(JSON)
    input_usd: Mapped[float]
    output_usd: Mapped[float]

    def as_model(self) -> Model:
        return Model(self.id, tuple(self.providers), self.input_usd, self.output_usd)


class _Completion(_Table):
    __tablename__ = "completions"

    id: Mapped[int] = mapped_column(primary_key=True)
    request_id: Mapped[str]
    provider: Mapped[str] = mapped_column(index=True)
    model: Mapped[str]
    input_tokens: Mapped[int]
    output_tokens: Mapped[int]
    cost_usd: Mapped[float]


@dataclass(frozen=True)
class Completion:
    """What one delivered completion used and cost."""

    request_id: str
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cost_usd: float


@dataclass(frozen=True)
class Usage:
    """What one provider delivered so far."""

    provider: str
    requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


class Store:
    """Blocking access to the database; call it from a thread."""

    def __init__(self, url: str, catalog: Iterable[Model]) -> None:
        self._engine = create_engine(url)
        if self._engine.dialect.name == "sqlite":
            _write_ahead(self._engine)
        _Table.metadata.create_all(self._engine)
        with Session(self._engine) as session, session.begin():
            for model in catalog:
                session.merge(_Model(**{**asdict(model), "providers": list(model.providers)}))

    def attach(self, telemetry: Telemetry) -> None:
        """Have every statement recorded."""
        telemetry.attach(self._engine)

    def models(self) -> list[Model]:
        """Return the whole catalog, by id."""
        with Session(self._engine) as session:
            return [row.as_model() for row in session.scalars(select(_Model).order_by(_Model.id))]

    def model(self, model_id: str) -> Model | None:
        """Return one model, or None if the catalog does not have it."""
        with Session(self._engine) as session:
            row = session.get(_Model, model_id)
            return row.as_model() if row else None

    def add(self, completion: Completion) -> None:
        """Write down one completion."""
        with Session(self._engine) as session, session.begin():
            session.add(_Completion(**asdict(completion)))

    def usage(self) -> list[Usage]:
        """Return the totals of every provider that delivered something, by name."""
        totals = (
            select(
                _Completion.provider,
                func.count(),
                func.sum(_Completion.input_tokens),
                func.sum(_Completion.output_tokens),
                func.sum(_Completion.cost_usd),
            )
            .group_by(_Completion.provider)
            .order_by(_Completion.provider)
        )
        with Session(self._engine) as session:
            return [Usage(*row) for row in session.execute(totals)]

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _write_ahead(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _set(connection: Any, _record: Any) -> None:
        # The default journal makes every writer wait for the disk twice and blocks the readers meanwhile.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
