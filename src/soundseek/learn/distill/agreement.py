"""How near a student has come to its teacher on clips that neither was taught on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soundseek.audio.logmel import LogMel
from soundseek.learn.data.waveforms import WaveformCache
from soundseek.learn.distill.networks import Student, Teacher


@torch.no_grad()
def agreement(student: Student, teacher: Teacher, log_mel: LogMel, cache: WaveformCache) -> dict[str, float]:
    """Agreement with the teacher on whole clips (at most 10 s of each), undamaged.

    Returns:
        `cosine`: mean cosine of pooled embeddings, in the teacher's own space; `standardised_cosine`: the same
        per standardised dimension; `retrieval_cosine`: in the heads' space, where there are heads; `tag_map`:
        mean average precision of the teacher's tags above 0.3.
    """
    student.eval()
    cosine = nn.functional.cosine_similarity
    raw, standard, embedded, scores, truth = [], [], [], [], []
    for number in range(len(cache)):
        heard = torch.from_numpy(log_mel(cache.read(number, 0, 10 * cache.sample_rate_hz)))[None]
        wanted, found = teacher(heard), student(heard)
        deviation, mean = teacher.deviation, teacher.mean
        raw.append(cosine(wanted.pooled * deviation + mean, found.pooled * deviation + mean))
        standard.append(cosine(wanted.pooled, found.pooled))
        if teacher.heads is not None:
            embedded.append(cosine(teacher.embed(wanted.pooled), teacher.embed(found.pooled)))
        scores.append(found.logits)
        truth.append(wanted.logits.sigmoid() > 0.3)
    return {
        "cosine": torch.cat(raw).mean().item(),
        "standardised_cosine": torch.cat(standard).mean().item(),
        **({"retrieval_cosine": torch.cat(embedded).mean().item()} if embedded else {}),
        "tag_map": _mean_average_precision(torch.cat(scores), torch.cat(truth)),
    }


def _mean_average_precision(scores: Tensor, truth: Tensor) -> float:
    """Mean over the tags that occur of the average precision over clips; both `(clips, tags)`."""
    precisions = []
    for tag in range(truth.shape[1]):
        if truth[:, tag].any():
            hits = truth[:, tag][scores[:, tag].argsort(descending=True)].float()
            precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
            precisions.append((precision * hits).sum() / hits.sum())
    return torch.stack(precisions).mean().item() if precisions else float("nan")
