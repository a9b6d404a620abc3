"""The numbers of the paper's Table I, in percent on Clotho's evaluation split, by the recipe that builds the system."""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = (
    "F. Xiao, Q. Zhu, J. Guan, W. Wang, "
    "Enhancing Audio Retrieval with Attention-based Encoder for Audio Feature Representation, Table I"
)

NUM_CLIPS, NUM_CAPTIONS = 1045, 5225
"""Clotho's evaluation split, which the numbers are for."""


@dataclass(frozen=True)
class PaperRow:
    """One row: its name in the paper, and R@1, R@5, R@10 and mAP@10 in percent."""

    method: str
    R1: float
    R5: float
    R10: float
    mAP10: float


TABLE_ONE: dict[str, PaperRow] = {
    "dcase2022-baseline": PaperRow("DCASE official baseline", 2.6, 10.2, 17.6, 6.1),
    "p-gat": PaperRow("P-GAT", 7.0, 21.0, 33.0, 13.0),
    "atae-np-f": PaperRow("ATAE-NP-F", 7.2, 22.5, 32.5, 13.9),
    "passt-mpnet": PaperRow("PaSST-MPnet", 13.4, 35.5, 48.2, 22.9),
    "relax": PaperRow("RELAX", 13.7, 35.4, 48.4, 23.1),
    "smbo": PaperRow("SMBO", 14.5, 37.2, 51.0, 24.3),
    "mei-surrey": PaperRow("Mei_Surrey", 14.7, 37.7, 49.5, 24.4),
    "sjtu": PaperRow("SJTU", 16.2, 38.3, 52.0, 25.8),
    "cnn14": PaperRow("CNN14 based audio retrieval", 13.7, 35.6, 48.7, 23.2),
    "graph-attention": PaperRow("Graph attention based", 14.6, 36.2, 50.2, 23.9),
    "self-attention": PaperRow("Self-attention based", 14.1, 38.0, 51.3, 24.3),
    "self-attention-supervised": PaperRow("Self-attention based+supervised", 14.0, 38.5, 52.0, 24.4),
}
