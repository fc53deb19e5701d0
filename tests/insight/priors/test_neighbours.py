import csv

from hermes_nnunet.insight.priors.neighbours import NEIGHBOURS, write_neighbours
from hermes_nnunet.insight.priors.similarity import cosine_similarity, modality_vectors, task_vectors


def test_csv_has_the_nearest_of_every_task_and_modality(tmp_path, pools, tasks):
    path = tmp_path / "priors.csv"
    similarities = (cosine_similarity(vectors(pools)) for vectors in (task_vectors, modality_vectors))
    write_neighbours(path, tasks, next(similarities), ["MRI", "CT", "unknown"], next(similarities))
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * NEIGHBOURS + 3 * 2
    nearest = [row for row in rows if row["kind"] == "task" and row["rank"] in "12"]
    assert all(row["member"] == row["neighbour_member"] for row in nearest)
    assert all(float(row["cosine"]) > 0.9 for row in nearest)
    first = next(row for row in rows if row["kind"] == "modality")
    assert (first["name"], first["neighbour"], float(first["cosine"])) == ("MRI", "CT", 1)
