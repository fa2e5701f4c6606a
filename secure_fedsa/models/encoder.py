"""The public encoder phi: frozen features fitted to public probes only.

The encoder is a file whose SHA-256 stands in the agreement. It is fitted to the public
probes, so it costs no privacy. What the sensitivity proof asks of it is that phi(x) is a
function of x alone, to the last bit. ``exact`` says how: every sum runs over integers that
floats hold exactly, all else is elementwise. For images the chain is

    pixels 0..255 -> integer filters (sums < 2^24, float32) -> elementwise contrast
    normalisation and rounding -> pooled sums (< 2^24) -> elementwise square root and
    rounding -> integer projection (sums < 2^53, float64) -> times a power of two

and each bound is checked when an encoder is made, also one that was read from a file.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from secure_fedsa.entropy import public_generator
from secure_fedsa.errors import DataError
from secure_fedsa.models.exact import (
    FLOAT64_INTEGERS,
    integer_matrix,
    require_exact,
    require_integers,
)
from secure_fedsa.models.filters import BankSpec
from secure_fedsa.models.image_features import ImageFeatures
from secure_fedsa.models.principal import soft_principal_directions
from secure_fedsa.models.records import RecordSchema
from secure_fedsa.models.tabular_features import TabularFeatures

if TYPE_CHECKING:
    from secure_fedsa.models.records import BoolArray

FloatArray = npt.NDArray[np.float64]

_FORMAT = "secure-fedsa-encoder-1"
_PASS = 256  # records a pass: bounds memory
_RECORDS_TO_NOISE = 0.46  # directions per record and unit of noise (see useful_dimension)
_WIDTH_STEP = 64
_WIDTH = 256
_WIDEST = 768
_PROBES_PER_DIRECTION = 6


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """Public choices behind an encoder.

    Attributes:
        dimension: Width d of the encoding; at most what the probes can support.
        softness: Exponent of the whitening: 0 keeps the principal components' variances,
            1 makes them equal.
        clip_quantile: The clip norm is this quantile of the probes' norms.
        banks: Filter banks for images; those that do not fit a small image are shrunk.
        units: Random ReLU units for tables.
        seed: Of the public generator that picks patches and units.
    """

    dimension: int = _WIDTH
    softness: float = 0.75
    clip_quantile: float = 0.5
    banks: tuple[BankSpec, ...] = (
        BankSpec(size=6, filters=96, stride=2, pool=4, threshold=0.5),
        BankSpec(size=10, filters=96, stride=2, pool=3, threshold=0.5),
    )
    units: int = 256
    seed: int = 0


def useful_dimension(records: int, noise: float, probes: int) -> int:
    """Return the width of encoding that a release of given noise can fill, a public choice.

    Every direction carries the same noise, but later ones less of what tells classes apart.
    The more records stand against the noise, the more directions are worth their noise; the
    best width grew about in proportion, and was flat around its maximum.

    Args:
        records: A teacher's records.
        noise: Standard deviation of the noise of a class's sum, in clip norms; 0 for none.
        probes: Public probes; past 256, a direction needs several of them.

    >>> useful_dimension(4500, 4.17, 5000), useful_dimension(1000, 4.17, 5000)
    (512, 128)
    """
    widest = min(_WIDEST, max(_WIDTH, probes // _PROBES_PER_DIRECTION))
    if noise <= 0:
        return widest
    steps = round(_RECORDS_TO_NOISE * records / noise / _WIDTH_STEP)
    return int(min(widest, max(1, steps) * _WIDTH_STEP))


@dataclass(frozen=True, slots=True)
class Encoding:
    """Encoded records.

    Attributes:
        values: float64, shape (n, d); rows of invalid records are zero.
        valid: bool, shape (n,): False for a record with NaN, infinite or out-of-range values.
    """

    values: FloatArray
    valid: BoolArray


class PublicEncoder:
    """A frozen public encoder; make one with :meth:`fit` or :meth:`from_bytes`.

    Attributes:
        schema: Shape of a record.
        dimension: Width d of the encoding.
        clip_norm: Public clip norm, in the encoding's units.
        probe_variances: float64, shape (d,): variance of the probes along each output
            direction, largest first; directions are uncorrelated on the probes.
    """

    def __init__(
        self,
        schema: RecordSchema,
        extractor: ImageFeatures | TabularFeatures,
        projection: FloatArray,
        offset: FloatArray,
        exponent: int,
        clip_norm: float,
        probe_variances: FloatArray,
    ) -> None:
        self.schema = schema
        self.clip_norm = clip_norm
        self.probe_variances = probe_variances
        self._extractor = extractor
        self._projection = projection  # (width, d), integers
        self._offset = offset  # (d,), integers
        self._exponent = exponent  # values = integers x 2^-exponent
        bounds = extractor.bounds()
        if projection.shape[0] != len(bounds) or len(offset) != projection.shape[1]:
            raise DataError("The encoder's tensors do not fit together.")
        require_integers(projection, "The projection")
        require_integers(offset, "The offset")
        reach = (np.abs(projection) * bounds[:, None]).sum(axis=0) + np.abs(offset)
        require_exact(float(reach.max()), FLOAT64_INTEGERS, "projection")
        if not (np.isfinite(clip_norm) and clip_norm > 0):
            raise DataError(f"A clip norm of {clip_norm!r} is not a positive number.")

    @property
    def dimension(self) -> int:
        """Width d of the encoding."""
        return int(self._projection.shape[1])

    @property
    def filters(self) -> ImageFeatures | None:
        """The public image filters; None for tables."""
        return self._extractor if isinstance(self._extractor, ImageFeatures) else None

    @classmethod
    def fit(cls, probes: npt.NDArray[Any], spec: EncoderSpec | None = None) -> PublicEncoder:
        """Fit to public probes.

        Args:
            probes: Images (n, H, W) or (n, H, W, channels), uint8 or float in [0, 1], or a
                float table (n, features). Invalid probes are left out.
            spec: Public choices; the default suits 28x28 images and tables alike.

        Raises:
            DataError: Too few usable probes, probes without variance, a wrong shape.
        """
        spec = spec or EncoderSpec()
        schema = RecordSchema.of(probes)
        generator = public_generator(spec.seed, "public encoder")
        extractor: ImageFeatures | TabularFeatures
        if schema.kind == "image":
            images, valid = schema.pixels(probes)
            _require_probes(int(valid.sum()))
            extractor = ImageFeatures.fit(images[valid], spec.banks, generator)
        else:
            rows, valid = schema.rows(probes)
            _require_probes(int(valid.sum()))
            extractor = TabularFeatures.fit(rows[valid], spec.units, generator)
        features = _features(schema, extractor, probes[valid])
        directions, centre = soft_principal_directions(
            features, spec.dimension, spec.softness, generator
        )
        # The offset centres the probes; half of the exact range is left for it.
        projection, exponent = integer_matrix(
            directions, input_bound=extractor.bounds(), limit=FLOAT64_INTEGERS // 2
        )
        offset = np.rint(centre @ projection)
        values = (features @ projection - offset) * 2.0**-exponent
        clip_norm = float(np.quantile(np.linalg.norm(values, axis=1), spec.clip_quantile))
        variances = values.var(axis=0)
        return cls(schema, extractor, projection, offset, exponent, clip_norm, variances)

    def encode(self, records: npt.NDArray[Any], *, threads: int = 1) -> Encoding:
        """Encode records; a row depends on its own record only, to the last bit.

        Args:
            records: Shape (n, ...) as :attr:`schema` says; n may be 0.
            threads: Worker threads; they change the time, never the values.

        Raises:
            DataError: A wrong shape or type.
        """
        self.schema.check(records)
        starts = range(0, len(records), _PASS)
        with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
            parts = list(pool.map(lambda at: self._encode(records[at : at + _PASS]), starts))
        if not parts:
            return Encoding(np.zeros((0, self.dimension)), np.zeros(0, dtype=np.bool_))
        return Encoding(
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.valid for part in parts]),
        )

    def encode_clipped(
        self, records: npt.NDArray[Any], *, threads: int = 1
    ) -> tuple[FloatArray, BoolArray]:
        """Return encodings in units of the clip norm, norm at most 1, and the valid flags.

        For public or own records, and for private ones whose gradients are clipped: private sums
        are clipped in integers, by the privacy layer.
        """
        encoding = self.encode(records, threads=threads)
        norms = np.linalg.norm(encoding.values, axis=1, keepdims=True)
        return encoding.values / np.maximum(norms, self.clip_norm), encoding.valid

    def _encode(self, records: npt.NDArray[Any]) -> Encoding:
        if isinstance(self._extractor, ImageFeatures):
            images, valid = self.schema.pixels(records)
            features = self._extractor.features(images)
        else:
            rows, valid = self.schema.rows(records)
            features = self._extractor.features(rows)
        values = (features @ self._projection - self._offset) * 2.0**-self._exponent
        values[~valid] = 0.0
        return Encoding(values, valid)

    def to_bytes(self) -> bytes:
        """Return the encoder as safetensors, the same bytes every time."""
        tensors = {
            "projection": self._projection,
            "offset": self._offset,
            "probe_variances": self.probe_variances,
            **{f"features.{name}": value for name, value in self._extractor.tensors().items()},
        }
        # One metadata entry only: the format does not promise an order of several.
        header = {
            "format": _FORMAT,
            "schema": asdict(self.schema),
            "exponent": self._exponent,
            "clip_norm": self.clip_norm.hex(),
            "extractor": self._extractor.describe(),
        }
        text = json.dumps(header, sort_keys=True, separators=(",", ":"))
        return save_tensors(
            {name: np.ascontiguousarray(value) for name, value in tensors.items()},
            metadata={"encoder": text},
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> PublicEncoder:
        """Read :meth:`to_bytes` back and check all bounds again.

        Raises:
            DataError: Not an encoder of this format, or one whose sums are not exact.
        """
        try:
            tensors = load_tensors(data)
            size = int.from_bytes(data[:8], "little")
            header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["encoder"])
            if header["format"] != _FORMAT:
                raise DataError(f"Unknown encoder format {header['format']!r}.")
            schema = RecordSchema(header["schema"]["kind"], tuple(header["schema"]["shape"]))
            stored = {
                name.removeprefix("features."): value
                for name, value in tensors.items()
                if name.startswith("features.")
            }
            kind = ImageFeatures if schema.kind == "image" else TabularFeatures
            return cls(
                schema,
                kind.restore(stored, header["extractor"]),
                tensors["projection"],
                tensors["offset"],
                int(header["exponent"]),
                float.fromhex(header["clip_norm"]),
                tensors["probe_variances"],
            )
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                "These bytes are not a public encoder.",
                why=f"{type(error).__name__} while reading them.",
                do="Use the file whose hash stands in the agreement.",
            ) from error

    def sha256(self) -> str:
        """Return the SHA-256 of :meth:`to_bytes`, hexadecimal."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def _features(
    schema: RecordSchema, extractor: ImageFeatures | TabularFeatures, records: npt.NDArray[Any]
) -> FloatArray:
    parts = []
    for start in range(0, len(records), _PASS):
        block = records[start : start + _PASS]
        if isinstance(extractor, ImageFeatures):
            parts.append(extractor.features(schema.pixels(block)[0]))
        else:
            parts.append(extractor.features(schema.rows(block)[0]))
    return np.concatenate(parts)


def _require_probes(count: int) -> None:
    if count < 32:
        raise DataError(
            f"{count} usable probes are too few to fit an encoder.",
            do="Give at least 32 public records; some thousands work best.",
        )
