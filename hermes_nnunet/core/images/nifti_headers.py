"""Which of the places of a NIfTI header that say where the voxels lie is right, where they differ."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import nibabel
import numpy as np
from nibabel.orientations import io_orientation
from nibabel.spatialimages import HeaderDataError

from hermes_nnunet.core.images.geometry import Geometry, axis_lengths, check_plausible, is_usable
from hermes_nnunet.core.images.remarks import NO_CODES, NOT_THE_UNIT, OTHER_UNIT, QFORM, SIDES
from hermes_nnunet.core.images.spacing_choice import AFFINE, HEADER, check_spacing_from
from hermes_nnunet.errors import HermesError

# Share by which two spacings may differ, since many files hold one of them rounded.
SPACING_TOLERANCE = 0.005
# Single precision, in which headers are stored.
_SAME = 1e-5
# Cosine of the angle of two axes that are taken to be at right angles.
_RIGHT_ANGLE = 1e-3
# And of two that look another way.
_APART = 0.5
# Codes of the units of length (the lowest three bits of xyzt_units) but for millimetres and none -> mm.
_UNIT_BITS = 7
_UNITS_MM = {1: 1e3, 3: 1e-3}

_LENGTH_FIELDS = ("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z")
# All header fields that place voxels in space; the rest of an image's header is not a label file's business.
_GEOMETRY_FIELDS = (
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *_LENGTH_FIELDS,
)


class NiftiGeometry(NamedTuple):
    """What a header says.

    Attributes:
        mended: the header contradicts itself, and `geometry.header` does not.
        chosen: `spacing_from` has decided.
        remarks: how it was read, where people should know.
    """

    geometry: Geometry
    mended: bool
    chosen: bool
    remarks: tuple[str, ...]


def nifti_geometry(
    header: nibabel.Nifti1Header, shape: tuple[int, int, int], name: str, spacing_from: str | None = None
) -> NiftiGeometry:
    """Geometry by a header as it is stored, before nibabel mends it.

    The sform is right, as nibabel has it, if its axes are as long as the zooms (pixdim) say. If not, a qform that looks
    the same way is right, since its axes are as long as the zooms; otherwise `spacing_from` decides.

    Metres and micrometres become millimetres, unless no image of a patient has the size that it would have then. The
    header's fields stay in its unit, so that what is written with them lies on the image for every reader.

    Args:
        spacing_from: where nothing in the header decides: AFFINE takes the sform, HEADER the zooms.

    Raises:
        HermesError: nothing decides, or the header says no geometry that an image can have; the message begins with
            `name`.
    """
    check_spacing_from(spacing_from)
    millimetres = _UNITS_MM.get(int(header["xyzt_units"]) & _UNIT_BITS)
    if millimetres is None:
        return _plausible(header, shape, name, spacing_from)
    try:
        read = _plausible(_times(header, millimetres), shape, name, spacing_from)
    except HermesError:
        read = _plausible(header, shape, name, spacing_from)
        return read._replace(remarks=(*read.remarks, NOT_THE_UNIT))
    fields = header_fields(_times(header_with(read.geometry.header), 1 / millimetres) if read.mended else header)
    fields["xyzt_units"] = header["xyzt_units"].tolist()
    geometry = replace(read.geometry, header=fields)
    return read._replace(geometry=geometry, remarks=(*read.remarks, OTHER_UNIT))


def _plausible(
    header: nibabel.Nifti1Header, shape: tuple[int, int, int], name: str, spacing_from: str | None
) -> NiftiGeometry:
    read = _by_its_places(header, shape, name, spacing_from)
    check_plausible(read.geometry, name)
    return read


def _times(header: nibabel.Nifti1Header, factor: float) -> nibabel.Nifti1Header:
    """The header with all lengths multiplied."""
    scaled = header.copy()
    for name in _LENGTH_FIELDS:
        scaled[name] = scaled[name] * factor
    scaled["pixdim"][1:4] = header["pixdim"][1:4] * factor
    return scaled


def _by_its_places(
    header: nibabel.Nifti1Header, shape: tuple[int, int, int], name: str, spacing_from: str | None
) -> NiftiGeometry:
    zooms = np.abs(np.array(header["pixdim"][1:4], dtype=float))
    known = bool(np.isfinite(zooms).all() and (zooms > 0).all())
    sform = _usable(header.get_sform()) if header["sform_code"] > 0 else None
    qform = _usable(_qform(header, zooms)) if header["qform_code"] > 0 and known else None
    if sform is not None and (not known or _agree(sform, zooms)):
        # Only the sform can be right, or both say the same.
        remarks = () if qform is None or not _look_apart(sform, qform) else (SIDES,)
        return _geometry(header, shape, sform, zooms if known else None, mended=not known, remarks=remarks)
    if sform is not None and qform is not None and _look_alike(sform, qform):
        return _geometry(header, shape, qform, zooms, mended=True, remarks=(QFORM,))
    if sform is not None:
        return _decided(header, shape, sform, qform, zooms, name, spacing_from)
    if qform is not None:
        # Also where the sform is not usable.
        mended = bool(header["sform_code"] > 0)
        return _geometry(header, shape, qform, zooms, mended=mended, remarks=(QFORM,) * mended)
    if header["sform_code"] <= 0 and header["qform_code"] <= 0 and known:
        return _geometry(header, shape, _without_codes(header, shape, zooms), zooms, remarks=(NO_CODES,))
    raise HermesError(
        f"{name} does not say where its voxels lie: its sform (code {int(header['sform_code'])}) and its qform (code "
        f"{int(header['qform_code'])}) are flat or no numbers, or its spacing {_numbers(zooms)} is: mend its header"
    )


def header_fields(header: nibabel.Nifti1Header) -> dict[str, Any]:
    """The fields that place voxels in space, as plain numbers and lists; distances without a sign."""
    fields = {name: header[name].tolist() for name in _GEOMETRY_FIELDS}
    fields["pixdim"][1:4] = [abs(distance) for distance in fields["pixdim"][1:4]]
    fields["pixdim"][0] = fields["pixdim"][0] or 1.0
    return fields


def header_with(fields: Mapping[str, Any]) -> nibabel.Nifti1Header:
    """A header of these fields, and else of nibabel's defaults."""
    header = nibabel.Nifti1Header()
    for name, value in fields.items():
        header[name] = value
    return header


def _decided(
    header: nibabel.Nifti1Header,
    shape: tuple[int, int, int],
    sform: np.ndarray,
    qform: np.ndarray | None,
    zooms: np.ndarray,
    name: str,
    spacing_from: str | None,
) -> NiftiGeometry:
    if spacing_from is None:
        other = "no qform decides" if qform is None else "its qform looks another way"
        raise HermesError(
            f"{name} says two spacings: {_numbers(axis_lengths(sform))} mm by its affine (sform), {_numbers(zooms)} mm "
            f"by its header (pixdim), and {other}: say which is right with --spacing-from {AFFINE} or --spacing-from "
            f"{HEADER} (spacing_from in Python), or mend the file"
        )
    if spacing_from == AFFINE:
        return _geometry(header, shape, sform, None, mended=True)._replace(chosen=True)
    if qform is None:
        qform = sform.copy()
        qform[:3, :3] *= zooms / axis_lengths(sform)
    return _geometry(header, shape, qform, zooms, mended=True)._replace(chosen=True)


def _geometry(
    header: nibabel.Nifti1Header,
    shape: tuple[int, int, int],
    affine: np.ndarray,
    zooms: np.ndarray | None,
    *,
    mended: bool = False,
    remarks: tuple[str, ...] = (),
) -> NiftiGeometry:
    lengths = axis_lengths(affine)
    # The header's own numbers where they are the same, as nnU-Net takes them: the affine's have rounding in them.
    right_angles = _angles(affine) < _RIGHT_ANGLE
    take_zooms = zooms is not None and (not right_angles or np.allclose(zooms, lengths, rtol=_SAME, atol=0))
    spacing = zooms if zooms is not None and take_zooms else lengths
    x, y, z = (float(value) for value in spacing)
    fields = _consistent_fields(header, affine, spacing) if mended else header_fields(header)
    return NiftiGeometry(Geometry(shape, affine, (x, y, z), fields), mended, False, remarks)


def _consistent_fields(header: nibabel.Nifti1Header, affine: np.ndarray, spacing: np.ndarray) -> dict[str, Any]:
    """The header's fields with this affine in every place that has a code."""
    fields = header_with(header_fields(header))
    fields["pixdim"][1:4] = spacing
    if header["sform_code"] > 0:
        fields.set_sform(affine, int(header["sform_code"]))
    if header["qform_code"] > 0:
        fields.set_qform(affine, int(header["qform_code"]), strip_shears=True)
        fields["pixdim"][1:4] = spacing
    return header_fields(fields)


def _usable(affine: np.ndarray | None) -> np.ndarray | None:
    return affine if affine is not None and is_usable(affine) else None


def _qform(header: nibabel.Nifti1Header, zooms: np.ndarray) -> np.ndarray | None:
    positive = header.copy()
    positive["pixdim"][1:4] = zooms
    # The first is the side of the third axis, which the standard has 1 where it is not set.
    positive["pixdim"][0] = positive["pixdim"][0] or 1
    try:
        return positive.get_qform()
    except (HeaderDataError, ValueError):
        return None


def _without_codes(header: nibabel.Nifti1Header, shape: tuple[int, int, int], zooms: np.ndarray) -> np.ndarray:
    """As nibabel has it: axes to the left, the front and the head, the origin in the middle."""
    positive = header.copy()
    positive.set_data_shape(shape)
    positive["pixdim"][1:4] = zooms
    return positive.get_base_affine()


def _agree(affine: np.ndarray, zooms: np.ndarray) -> bool:
    """Whether the axes, or the planes across them where they are not at right angles, are as far apart as the zooms."""
    lengths = axis_lengths(affine)
    if np.allclose(lengths, zooms, rtol=SPACING_TOLERANCE, atol=0):
        return True
    distances = 1 / axis_lengths(np.linalg.inv(affine[:3, :3]).T)
    return _angles(affine) >= _RIGHT_ANGLE and np.allclose(
        np.minimum(np.abs(zooms - lengths), np.abs(zooms - distances)), 0, atol=float(SPACING_TOLERANCE * zooms.min())
    )


def _angles(affine: np.ndarray) -> float:
    """Largest cosine of the angle between two axes."""
    directions = affine[:3, :3] / axis_lengths(affine)
    return float(np.abs(directions.T @ directions - np.eye(3)).max())


def _look_alike(first: np.ndarray, second: np.ndarray) -> bool:
    return np.array_equal(io_orientation(first), io_orientation(second))


def _look_apart(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether an axis of one runs far from where the same axis of the other does."""
    one, other = (affine[:3, :3] / axis_lengths(affine) for affine in (first, second))
    return bool(((one * other).sum(0) < _APART).any())


def _numbers(values: np.ndarray) -> str:
    return " x ".join(f"{value:.4g}" for value in values)
