"""The models on offer: who serves them, and what a token costs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """One model, its providers, and its prices in US dollars per token."""

    id: str
    providers: tuple[str, ...]
    input_usd: float
    output_usd: float

    def cost_usd(self, input_tokens: int, output_tokens: int) -> float:
        """Return what one completion costs in US dollars."""
        return input_tokens * self.input_usd + output_tokens * self.output_usd

    def name_at(self, provider: str) -> str:
        """Return what a provider calls it."""
        return f"{provider}/{self.id.rpartition('/')[2].lower()}"


PROVIDERS = (
    "openrouter",
    "portkey",
    "featherless",
    "chutes",
    "deepinfra",
    "fireworks",
    "together",
    "huggingface",
    "xai",
    "aimo",
    "near",
    "fal",
    "anannas",
    "google-vertex",
    "modelz",
    "aihubmix",
    "vercel-ai-gateway",
)

MODELS = (
    Model(
        "openai/gpt-4o-mini",
        ("openrouter", "portkey", "anannas", "aihubmix", "vercel-ai-gateway", "modelz"),
        0.15e-6,
        0.60e-6,
    ),
    Model(
        "meta-llama/Llama-3.3-70B-Instruct",
        ("featherless", "deepinfra", "fireworks", "together", "huggingface", "fal"),
        0.23e-6,
        0.40e-6,
    ),
    Model(
        "deepseek-ai/DeepSeek-V3",
        ("chutes", "deepinfra", "fireworks", "together", "near", "aimo"),
        0.27e-6,
        1.10e-6,
    ),
    Model(
        "Qwen/Qwen3-32B",
        ("featherless", "chutes", "huggingface", "near", "modelz", "fal"),
        0.10e-6,
        0.30e-6,
    ),
    Model(
        "google/gemini-2.5-flash",
        ("google-vertex", "openrouter", "portkey", "vercel-ai-gateway"),
        0.30e-6,
        2.50e-6,
    ),
    Model(
        "x-ai/grok-4-fast",
        ("xai", "anannas", "aimo", "aihubmix"),
        0.20e-6,
        0.50e-6,
    ),
)


def models_of(provider: str) -> tuple[Model, ...]:
    """Return the models that a provider serves, in the catalog's order."""
    return tuple(model for model in MODELS if provider in model.providers)
