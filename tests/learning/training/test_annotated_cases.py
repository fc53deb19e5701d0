"""What a case does not annotate costs nothing, and teaches nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_nnunet.collection import Case, Collection, Context, Member, Task
from hermes_nnunet.learning.loss.hermes_loss import HermesLoss
from hermes_nnunet.learning.training.case_context import validation_context
from hermes_nnunet.learning.training.extra_tasks import ExtraTasks
from hermes_nnunet.learning.training.member_dice import dice_by_member
from hermes_nnunet.learning.training.sampling import case_probabilities
from hermes_nnunet.networks.context_batch import ContextIndexer
from hermes_nnunet.networks.output import HermesOutput
from hermes_nnunet.plans import HermesPlans

LIVER, SPLEEN, WHOLE, CORE = "abdomen/liver", "abdomen/spleen", "brain/whole", "brain/core"
ORGANS = ("body/0", "body/1", "body/2", "body/3")
OTHERS = ("head/0", "head/1")


def annotating(collection: Collection, **tasks: tuple[str, ...]) -> Collection:
    """The collection, with cases abdomen__<key> that annotate these tasks."""
    cases = {f"abdomen__{key}": Case("abdomen", "CT", key, own) for key, own in tasks.items()}
    return replace(collection, cases={**collection.cases, **cases})


def made_collection(annotated: tuple[str, ...]) -> Collection:
    """Organs of the body, of which a case annotates some; two tasks of the head, absent from it or excluded."""
    names = (*ORGANS, *OTHERS)
    members = {
        name: Member(name, name, tasks, {}, None, {"CT": None}, {}, ".nii.gz", 1.0)
        for name, tasks in (("body", ORGANS), ("head", OTHERS))
    }
    others = {task: tuple(other for other in names if other != task) for task in names}
    return Collection(
        tasks=tuple(Task(name, (value,), value) for value, name in enumerate(names, start=1)),
        modalities=("CT", "unknown"),
        members=members,
        cases={"body__a": Case("body", "CT", "a", annotated), "head__b": Case("head", "CT", "b")},
        excludes=others,
        absent={"body": ("head/0",)},
    )


def loss_of_case(collection: Collection, logits: torch.Tensor, labels: torch.Tensor, step: int) -> torch.Tensor:
    """Loss of the case body__a, extra tasks included; row r of `logits` is that of task r of the pool."""
    extra = ExtraTasks(collection, 2)
    indexer = ContextIndexer(collection.task_names, collection.modalities)
    context = indexer([collection.context_of("body__a")], rows=4)
    context = context.with_extra_tasks(*extra.of_batch(["body__a"], (0, step)))
    rows = [logits[:, task] for task in context.task_index[0].tolist()]
    output = HermesOutput([torch.stack(rows, 1)], torch.zeros(1, 2), context)
    loss = HermesLoss([task.values for task in collection.tasks], unknown_modality=1, absent_weight=0.2)
    return loss(output, labels)


class TestLoss:
    @settings(max_examples=60, deadline=None)
    @given(
        annotated=st.sets(st.sampled_from(ORGANS), min_size=0, max_size=3),
        seed=st.integers(0, 1000),
        step=st.integers(0, 20),
    )
    def test_does_not_change_with_what_the_case_does_not_annotate(self, annotated, seed, step):
        own = tuple(task for task in ORGANS if task in annotated)
        collection = made_collection(own)
        random = np.random.default_rng(seed)
        values = [0, *(value for value, task in enumerate(ORGANS, start=1) if task in own)]
        labels = random.choice(values, (1, 1, 4, 4, 4))
        hidden = [value for value, task in enumerate(ORGANS, start=1) if task not in own]
        altered = np.where(
            (labels == 0) & (random.random(labels.shape) < 0.5), random.choice(hidden, labels.shape), labels
        )
        torch.manual_seed(seed)
        logits = torch.randn(1, 6, 4, 4, 4)
        one, other = (
            loss_of_case(collection, logits, torch.tensor(own_labels), step) for own_labels in (labels, altered)
        )
        assert one.item() == pytest.approx(other.item(), rel=1e-6)

    @settings(max_examples=40, deadline=None)
    @given(annotated=st.sets(st.sampled_from(ORGANS), min_size=1, max_size=3), seed=st.integers(0, 1000))
    def test_has_no_gradient_for_rows_that_are_neither_annotated_nor_known_to_be_elsewhere(self, annotated, seed):
        own = tuple(task for task in ORGANS if task in annotated)
        collection = replace(made_collection(own), excludes={}, absent={})
        torch.manual_seed(seed)
        logits = torch.randn(1, 6, 4, 4, 4, requires_grad=True)
        loss_of_case(collection, logits, torch.zeros(1, 1, 4, 4, 4, dtype=torch.long), 0).backward()
        taught = {task for task, rows in zip(collection.task_names, logits.grad[0], strict=True) if rows.any()}
        assert taught == set(own)

    def test_of_an_unlabelled_case_is_that_of_the_modality_and_of_what_is_absent(self):
        collection = replace(made_collection(()), absent={})
        logits, labels = torch.randn(1, 6, 4, 4, 4), torch.zeros(1, 1, 4, 4, 4, dtype=torch.long)
        assert loss_of_case(collection, logits, labels, 0).item() == pytest.approx(0.01 * np.log(2))
        assert loss_of_case(made_collection(()), logits, labels, 0).item() > 0.1


class TestExtraTasks:
    @pytest.fixture
    def partly(self, collection):
        """Liver and spleen exclude each other and the whole tumour; abdomen__l annotates the liver, u nothing."""
        excludes = {LIVER: (SPLEEN, WHOLE), SPLEEN: (LIVER, WHOLE), WHOLE: (LIVER, SPLEEN)}
        return replace(annotating(collection, l=(LIVER,), u=()), excludes=excludes, absent={"brain": (SPLEEN,)})

    def test_negatives_are_of_what_the_case_labels(self, partly):
        extra = ExtraTasks(partly, 2)
        tasks, negatives = extra.of_batch(["abdomen__l", "abdomen__a"], (0, 0))
        by_task = dict(zip(tasks[0].tolist(), negatives[0].tolist(), strict=True))
        assert by_task == {1: [False, True, False, False, False], 2: [False, True, False, False, False]}
        assert tasks[1].tolist() == [2, -1]
        assert negatives[1, 0].tolist() == [False, True, True, False, False]

    def test_of_an_unlabelled_case_are_none_but_the_absent(self, partly):
        assert ExtraTasks(partly, 2).drawn("abdomen__u", (0, 0)) == []
        absent = replace(partly, absent={"abdomen": (CORE,)})
        assert ExtraTasks(absent, 2).drawn("abdomen__u", (0, 0)) == [CORE]

    def test_candidates_of_a_member_are_those_of_all_its_cases(self, partly):
        assert set(ExtraTasks(partly, 2).candidates("abdomen")) == {WHOLE, SPLEEN}


class TestSampling:
    def test_unlabelled_cases_are_drawn_a_tenth_as_often(self, collection):
        cases = ["abdomen__a", "abdomen__b", "abdomen__u", "brain__x"]
        shares = case_probabilities(cases, annotating(collection, u=()))  # weights 3 and 1
        assert shares == pytest.approx([0.75 / 2.1, 0.75 / 2.1, 0.075 / 2.1, 0.25])

    def test_a_member_without_labels_has_the_share_of_its_weight(self, collection):
        only = annotating(collection, u=(), v=())
        assert case_probabilities(["abdomen__u", "abdomen__v"], only) == pytest.approx([0.5, 0.5])


class TestValidation:
    def test_the_network_is_told_all_of_the_member_and_shows_what_the_case_annotates(self, collection, plans):
        class Network:
            def rows_of(self, contexts):
                self.contexts = contexts

        network = Network()
        hermes_plans = HermesPlans.from_plans(plans)
        batch = validation_context(network, hermes_plans, annotating(collection, l=(LIVER,)), "abdomen__l")
        assert network.contexts == [Context((LIVER, SPLEEN), "CT")]
        assert batch.task_index.tolist() == [[0, 1]]
        assert batch.channel_rows.tolist() == [0, -1, -1, -1]
        whole = validation_context(network, hermes_plans, collection, "abdomen__a")
        assert whole.channel_rows.tolist() == [0, 1, -1, -1]

    def test_dice_of_a_case_is_of_what_it_annotates(self, collection):
        metrics = {key: {"Dice": 0.5} for key in ("1", "2", "(3, 4)", "4")}
        entries = [{"prediction_file": f"abdomen__{case}.nii.gz", "metrics": metrics} for case in "la"]
        dice = dice_by_member({"metric_per_case": entries}, annotating(collection, l=(LIVER,)))
        assert dice == {"abdomen": {"abdomen__l": {LIVER: 0.5}, "abdomen__a": {LIVER: 0.5, SPLEEN: 0.5}}}


class TestTrainer:
    def annotate(self, dataset_json, tasks):
        for name, case in dataset_json["hermes"]["cases"].items():
            case["annotated"] = tasks[name.partition("__")[0]]

    def test_a_step_leaves_rows_alone_that_no_case_annotates(self, make_trainer, dataset_json):
        self.annotate(dataset_json, {"abdomen": [LIVER], "brain": [WHOLE]})
        trainer = make_trainer()
        trainer.initialize()
        train, _ = trainer.get_dataloaders()
        for _ in range(3):  # tokens change nothing before the first step
            trainer.train_step(next(train))
        rows = [
            parameter.grad.flatten(1).any(1).tolist()
            for name, parameter in trainer.network.named_parameters()
            if name.endswith("priors.tasks")
        ]
        assert rows
        assert not any(spleen or core for _, spleen, _, core, *_ in rows)
        assert any(liver or whole for liver, _, whole, *_ in rows)

    def test_a_step_with_unlabelled_cases_only_teaches_no_task(self, make_trainer, dataset_json, preprocessed):
        self.annotate(dataset_json, {"abdomen": [], "brain": [WHOLE]})
        split = [{"train": ["abdomen__a", "abdomen__b"], "val": ["abdomen__c", "brain__y"]}]
        (preprocessed / "splits_final.json").write_text(json.dumps(split))
        trainer = make_trainer()
        trainer.initialize()
        assert trainer.do_split()[1] == ["brain__y"]
        train, _ = trainer.get_dataloaders()
        loss = trainer.train_step(next(train))["loss"]
        assert 0 < loss < 0.1  # 0.01 times the cross-entropy of the modality
        for name, parameter in trainer.network.named_parameters():
            if name.endswith("priors.tasks"):
                assert not parameter.grad[:-1].any()
