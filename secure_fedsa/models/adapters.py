"""A teacher's model, whatever it is, as what it says about public probes.

A FedSA teacher (arXiv 2207.13309) is a trained model of any architecture for any task. The
adapter asks it two things about public records, and nothing else of it ever leaves:

* its *outputs*: class probabilities, one probability a label, or regression values;
* its *features*: what a chosen layer, or a function of the caller, makes of a record.

Nothing here is private by itself: what a model says depends on all records that it was
trained on. Which claim a signal made of it has is decided by the agreement's route.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias, cast, get_args, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from secure_fedsa.errors import DataError, UsageError

FloatArray = npt.NDArray[np.float64]
Records = npt.NDArray[Any]
Head = Literal["classification", "multi-label", "regression"]

FeatureChoice: TypeAlias = str | Callable[[Any, Any], Any] | None


@runtime_checkable
class ProbabilityEstimator(Protocol):
    """What scikit-learn calls a classifier: anything with ``predict_proba``."""

    def predict_proba(self, records: Any) -> Any:
        """Return class probabilities, shape (n, C); or a list of those, one a label."""
        ...


@runtime_checkable
class ValueEstimator(Protocol):
    """What scikit-learn calls a regressor: anything with ``predict``."""

    def predict(self, records: Any) -> Any:
        """Return values, shape (n,) or (n, k)."""
        ...


class TeacherAdapter:
    """A trained model and how to ask it about records.

    Args:
        model: A ``torch.nn.Module`` that returns logits (classification, multi-label) or values
            (regression), shape (n, k), or (n,) for one output; or an estimator with
            ``predict_proba`` (for ``regression``, ``predict``). A module is asked in
            evaluation mode and left in the mode that it was in.
        features: What its features are. A name out of ``named_modules()``: that layer's output,
            averaged over space if it is a map. A callable ``(model, batch) -> (n, ...)``.
            None: a module has its last hidden layer's output, i.e. what enters its last
            ``torch.nn.Linear``; an estimator has none but its outputs.
        head: The form of its outputs.
        prepare: Turns raw records (n, ...) into what the model takes. By default a module gets
            float32 (uint8 images divided by 255, with a channel axis), and an estimator float64
            rows.
        batch: Records asked about at once.

    Raises:
        UsageError: A model, head or layer that cannot be asked.

    >>> adapter = TeacherAdapter(nn.Linear(4, 3))
    >>> adapter.outputs(np.zeros((2, 4))).sum(axis=1).round(6)
    array([1., 1.])
    """

    def __init__(
        self,
        model: nn.Module | ProbabilityEstimator | ValueEstimator,
        *,
        features: FeatureChoice = None,
        head: Head = "classification",
        prepare: Callable[[Records], Any] | None = None,
        batch: int = 512,
    ) -> None:
        if head not in get_args(Head):
            raise UsageError(
                f"{head!r} is not a form of outputs.", do=f"Use one of {', '.join(get_args(Head))}."
            )
        if batch < 1:
            raise UsageError(f"A batch of {batch} records.", do="Use at least 1.")
        self.model = model
        self.head: Head = head
        self.batch = batch
        if isinstance(model, nn.Module):
            self._asked: _Module | _Estimator = _Module(model, features, prepare or _tensor)
        else:
            self._asked = _Estimator(model, head, features, prepare or _rows)

    @property
    def module(self) -> nn.Module:
        """The torch module.

        Raises:
            UsageError: If the model is an estimator.
        """
        if not isinstance(self.model, nn.Module):
            raise UsageError(
                f"{type(self.model).__name__} has no gradients.",
                do="Use kernel alignment as the saliency of teachers that are not torch modules.",
            )
        return self.model

    def tensor(self, records: Records) -> torch.Tensor:
        """Return records as the module takes them.

        Raises:
            UsageError: If the model is an estimator.
        """
        _ = self.module
        return torch.as_tensor(self._asked.prepare(records))

    def outputs(self, records: Records) -> FloatArray:
        """Return what the model says of records: float64 (n, k), finite.

        Probabilities for classification (rows sum to 1) and multi-label (each on its own), the
        values themselves for regression. A record that the model answers with a non-finite
        value gets a row of zeros: what an institution visibly does must not depend on it.

        Raises:
            DataError: Records that the model cannot take, or outputs of a wrong shape.
        """
        return self._collect(records, lambda part: self._asked.outputs(part, self.head))

    def features(self, records: Records) -> FloatArray:
        """Return the model's features of records: float64 (n, f), finite (see ``outputs``)."""
        return self._collect(records, lambda part: self._asked.features(part, self.head))

    def features_with_gradient(self, batch: torch.Tensor) -> torch.Tensor:
        """Return a torch module's features of a prepared batch, for attribution.

        Raises:
            UsageError: If the model is an estimator.
        """
        _ = self.module
        assert isinstance(self._asked, _Module)
        return self._asked.features_of(batch)

    def _collect(self, records: Records, ask: Callable[[Records], FloatArray]) -> FloatArray:
        if not isinstance(records, np.ndarray) or records.ndim < 2 or not len(records):
            raise DataError(
                "A teacher's model is asked about an array of at least one record.",
                do="Give a numpy array whose first axis counts the records.",
            )
        parts = []
        for begin in range(0, len(records), self.batch):
            part = records[begin : begin + self.batch]
            values = ask(part)
            if values.ndim == 1:
                values = values[:, None]
            if values.ndim != 2 or len(values) != len(part):
                raise DataError(
                    f"The model answered {len(part)} records with an array of {values.shape}.",
                    do="Return one row a record.",
                )
            parts.append(values)
        whole = np.concatenate(parts)
        whole[~np.isfinite(whole).all(axis=1)] = 0.0
        return whole


class _Module:
    """A torch module's answers."""

    def __init__(
        self, model: nn.Module, features: FeatureChoice, prepare: Callable[[Records], Any]
    ) -> None:
        self.model = model
        self.prepare = prepare
        if isinstance(features, str):
            self.layer: nn.Module | None = layer_of(model, features)
            self.pick: Callable[[Any, Any], Any] | None = None
        else:
            self.layer = None
            self.pick = features

    def outputs(self, records: Records, head: Head) -> FloatArray:
        answer = self._run(self.model, records)
        if head == "classification":
            answer = torch.softmax(answer, dim=1) if answer.dim() > 1 else torch.sigmoid(answer)
        elif head == "multi-label":
            answer = torch.sigmoid(answer)
        return np.array(answer.numpy(), dtype=np.float64)

    def features(self, records: Records, head: Head) -> FloatArray:
        del head
        answer = self._run(self.features_of, records)
        if answer.dim() == 4:  # a map: its mean over space, as global pooling gives it
            answer = answer.mean(dim=(2, 3))
        return np.array(answer.flatten(1).numpy(), dtype=np.float64)

    def features_of(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the features of a prepared batch as the layer or callable gives them."""
        if self.pick is not None:
            return torch.as_tensor(self.pick(self.model, batch))
        return self._hooked(batch)

    def _hooked(self, batch: torch.Tensor) -> torch.Tensor:
        seen: list[torch.Tensor] = []
        layer, wants_input = self.layer, self.layer is None
        if layer is None:
            layer = last_layer(
                self.model,
                nn.Linear,
                "the choice of its features",
                do="Name a layer, or give a callable that returns the features.",
            )

        def note(_: nn.Module, entering: tuple[Any, ...], leaving: Any) -> None:
            seen.append(entering[0] if wants_input else leaving)

        handle = layer.register_forward_hook(note)
        try:
            self.model(batch)
        finally:
            handle.remove()
        if len(seen) != 1 or not isinstance(seen[0], torch.Tensor):
            raise DataError(
                "The layer of the features did not run exactly once for a batch.",
                do="Name another layer, or give a callable that returns the features.",
            )
        return seen[0]

    def _run(self, ask: Callable[[torch.Tensor], torch.Tensor], records: Records) -> torch.Tensor:
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                return torch.as_tensor(ask(self.prepare(records))).detach().cpu()
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise DataError(
                f"The teacher's model cannot take records of shape {records.shape[1:]}.",
                why=f"{type(error).__name__} in its forward pass.",
                do="Give TeacherAdapter a `prepare` that turns raw records into the model's input.",
            ) from error
        finally:
            self.model.train(was_training)


class _Estimator:
    """A scikit-learn-style estimator's answers."""

    def __init__(
        self, model: Any, head: Head, features: FeatureChoice, prepare: Callable[[Records], Any]
    ) -> None:
        wanted = "predict" if head == "regression" else "predict_proba"
        if not callable(getattr(model, wanted, None)):
            raise UsageError(
                f"{type(model).__name__} has no `{wanted}`, so its outputs cannot be asked for.",
                do="Give a torch module, or an estimator that gives probabilities "
                "(head='regression': one that predicts values).",
            )
        if isinstance(features, str):
            raise UsageError(
                f"An estimator has no layer {features!r}.", do="Give a callable, or leave it out."
            )
        self.model = model
        self.pick = features
        self.prepare = prepare

    def outputs(self, records: Records, head: Head) -> FloatArray:
        rows = self.prepare(records)
        if head == "regression":
            return np.array(self.model.predict(rows), dtype=np.float64)
        found = self.model.predict_proba(rows)
        if isinstance(found, list):  # one array a label, as scikit-learn's forests give
            found = np.stack([np.asarray(label)[:, -1] for label in found], axis=1)
        return np.array(found, dtype=np.float64)

    def features(self, records: Records, head: Head) -> FloatArray:
        if self.pick is None:
            return self.outputs(records, head)
        return np.array(self.pick(self.model, self.prepare(records)), dtype=np.float64)


def layer_of(model: nn.Module, name: str) -> nn.Module:
    """Return a module's layer by its name.

    Raises:
        UsageError: If there is none of that name; the message lists those that there are.
    """
    layers: dict[str, nn.Module] = dict(model.named_modules())
    if name not in layers or not name:
        known = ", ".join(list(filter(None, layers))[:20]) or "none: it is a single layer"
        raise UsageError(f"The model has no layer {name!r}.", do=f"Its layers: {known}.")
    return layers[name]


def last_layer(model: nn.Module, kind: type[nn.Module], what: str, *, do: str) -> nn.Module:
    """Return a module's last layer of a kind.

    Raises:
        UsageError: If it has none; ``what`` needs one, and ``do`` is what to do instead.
    """
    found = [layer for layer in model.modules() if isinstance(layer, kind)]
    if not found:
        raise UsageError(f"The model has no {kind.__name__}, which {what} would need.", do=do)
    return found[-1]


def _tensor(records: Records) -> torch.Tensor:
    scale = 255.0 if records.dtype == np.uint8 else 1.0
    values = torch.from_numpy(np.ascontiguousarray(records, dtype=np.float32) / np.float32(scale))
    if values.dim() == 3:
        return values.unsqueeze(1)
    if values.dim() == 4:
        return values.movedim(3, 1)
    return values


def _rows(records: Records) -> FloatArray:
    return cast("FloatArray", np.asarray(records, dtype=np.float64).reshape(len(records), -1))
