"""Experts and their router, token by token, from their definition."""

from math import erf, exp, floor, log, sqrt

import torch
import torch.nn.functional as F


def router_logits(state, x):
    """Return the logits `(T, E)` of tokens `(T, C)`."""
    if 'wg.weight' in state:
        return x @ state['wg.weight'].t()
    x = x @ state['cosine_projector.weight'].t()
    x = x + state['cosine_projector.bias']
    columns = state['sim_matrix']
    x = x / x.square().sum(1, keepdim=True).sqrt()
    columns = columns / columns.square().sum(0, keepdim=True).sqrt()
    scale = min(float(state['temperature']), log(100))
    return x @ columns * exp(scale)


def choose(scores, k, normalize):
    """Return experts and gates `(T, k)` as lists, the best expert first."""
    experts, gates = [], []
    for row in scores.tolist():
        order = sorted(range(len(row)), key=lambda e: -row[e])[:k]
        values = [row[e] for e in order]
        total = sum(values) if normalize and k > 1 else 1.0
        experts.append(order)
        gates.append([v / total for v in values])
    return experts, gates


def queue(scores, experts, num_experts, by_score):
    """Return the place of each token in the queue of each of its experts."""
    tokens = list(range(len(experts)))
    if by_score:
        best = scores.max(1).values.tolist()
        tokens.sort(key=lambda t: -best[t])
    places = [[0] * len(row) for row in experts]
    lengths = [0] * num_experts
    for choice in range(len(experts[0])):
        for token in tokens:
            expert = experts[token][choice]
            places[token][choice] = lengths[expert]
            lengths[expert] += 1
    return places


def limit(tokens, num_experts, k, factor):
    """Return the number of tokens that an expert takes."""
    share = (tokens + num_experts - 1) // num_experts
    return k * floor(factor * share)


def squared_variation(values):
    """Return the variance (of a sample) over the squared mean."""
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / (len(values) - 1)
    return variance / (mean**2 + 1e-10)


def load_importance_loss(logits, noisy, experts, noise):
    """Return the mean of the losses of importance and load."""
    scores = logits.softmax(1).tolist()
    num_experts = len(scores[0])
    importance = [sum(row[e] for row in scores) for e in range(num_experts)]
    load = [0.0] * num_experts
    for token, row in enumerate(scores):
        last = noisy[token, experts[token][-1]].item()
        for e in range(num_experts):
            z = (row[e] - last) / (noise / num_experts)
            load[e] += (1 + erf(z / sqrt(2))) / 2
    return (squared_variation(importance) + squared_variation(load)) / 2


def gshard_loss(noisy, experts):
    """Return E times the sum of mean score and share of first choices."""
    scores = noisy.softmax(1)
    tokens, num_experts = scores.shape
    first = [row[0] for row in experts]
    return num_experts * sum(
        scores[:, e].mean().item() * first.count(e) / tokens
        for e in range(num_experts)
    )


def run_expert(state, number, x):
    """Run one expert on one token `(C, )`."""
    hidden = state['batched_fc1_w'][number] @ x
    hidden = F.gelu(hidden + state['batched_fc1_bias'][number])
    out = state['batched_fc2_w'][number].t() @ hidden
    return out + state['batched_fc2_bias'][number]


def expert_layer(gate, experts_state, x, k, factor, normalize, by_score):
    """Return outputs `(T, C)` and the expert of each choice, -1 if dropped."""
    scores = router_logits(gate, x).softmax(1)
    num_experts = scores.shape[1]
    experts, gates = choose(scores, k, normalize)
    places = queue(scores, experts, num_experts, by_score)
    most = limit(len(x), num_experts, k, factor) if factor else len(x) * k
    out = torch.zeros_like(x)
    for token, row in enumerate(experts):
        for choice, expert in enumerate(row):
            if places[token][choice] >= most:
                row[choice] = -1
                continue
            out[token] += gates[token][choice] * run_expert(
                experts_state, expert, x[token]
            )
    return out, experts
