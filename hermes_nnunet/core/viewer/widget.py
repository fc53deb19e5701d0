"""A case in a notebook."""

from typing import TYPE_CHECKING

from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.core.viewer.scene import IMAGE, PREDICTION, Scene
from hermes_nnunet.errors import HermesError

if TYPE_CHECKING:
    from ipyniivue import NiiVue

_OPACITY = 0.35
_OPAQUE = 255


def notebook_widget(scene: Scene, height: int) -> "NiiVue":
    """Image and tasks of the prediction in three planes, each task in its colour.

    Args:
        height: in pixels.

    Raises:
        HermesError: ipyniivue is not installed.
    """
    try:
        import ipyniivue
    except ImportError:
        raise HermesError("notebooks show it with ipyniivue: pip install 'hermes-nnunet[notebook]'") from None

    layers = scene.segmentations[PREDICTION]
    shown = [ipyniivue.Volume(name="image.nii", data=scene.part(IMAGE), colormap="gray")]
    for number in range(len(layers.volumes)):
        volume = ipyniivue.Volume(
            name=f"tasks_{number}.nii", data=scene.layer_nifti(PREDICTION, number), opacity=_OPACITY
        )
        volume.set_colormap_label(_colours(scene.labels))
        shown.append(volume)
    widget = ipyniivue.NiiVue(
        height=height,
        is_radiological_convention=True,
        sagittal_nose_left=True,
        multiplanar_show_render=ipyniivue.ShowRender.NEVER,
        crosshair_width=0.3,
    )
    widget.load_volumes(shown)
    return widget


def _colours(labels: tuple[Label, ...]) -> dict[str, list[int] | list[str]]:
    """NiiVue's table of the values of layers."""
    colours = [(0, 0, 0), *(label.rgb for label in labels)]
    red, green, blue = (list(part) for part in zip(*colours, strict=True))
    return {
        "R": red,
        "G": green,
        "B": blue,
        "A": [0, *[_OPAQUE] * len(labels)],
        "I": list(range(len(colours))),
        "labels": ["", *(label.name for label in labels)],
    }
