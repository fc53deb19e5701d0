from dataclasses import replace

from hermes_nnunet.insight.priors.tasks import TaskOrigin, task_origins


def test_a_task_has_its_members_name_and_modality(collection):
    origins = task_origins(collection.task_names, collection.members)
    assert origins[0] == TaskOrigin("abdomen/liver", "abdomen", "CT")
    assert origins[3] == TaskOrigin("brain/core", "brain", "T1")


def test_a_task_of_several_members_is_shared_and_of_all_their_modalities(collection):
    members = {**collection.members, "copy": replace(collection.members["abdomen"], name="copy", channels={"T1": None})}
    assert task_origins(["abdomen/liver"], members) == [TaskOrigin("abdomen/liver", "shared", "CT/T1")]
