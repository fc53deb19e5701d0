"""Tasks as points of a plane."""

import numpy as np

# Below, neighbourhoods are too small for t-SNE, and two directions show most of what there is.
TSNE_FROM = 30


def embed(vectors: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """Points (N, 2) of vectors (N, C), and what the two axes are.

    The two directions of largest variance, or t-SNE of the cosines from TSNE_FROM vectors on.
    """
    if len(vectors) >= TSNE_FROM:
        from sklearn.manifold import TSNE

        perplexity = min(30, (len(vectors) - 1) / 3)
        tsne = TSNE(metric="cosine", init="pca", method="exact", perplexity=perplexity, random_state=0)
        return tsne.fit_transform(vectors), ("t-SNE 1", "t-SNE 2")
    from sklearn.decomposition import PCA

    if len(vectors) < 2:
        return np.zeros((len(vectors), 2)), ("", "")
    components = min(2, *vectors.shape)
    pca = PCA(components).fit(vectors)
    points = np.zeros((len(vectors), 2))
    points[:, :components] = pca.transform(vectors)
    shares = np.zeros(2)
    shares[:components] = pca.explained_variance_ratio_
    first, second = (f"principal component {axis} ({share:.0%})" for axis, share in enumerate(shares, start=1))
    return points, (first, second)
