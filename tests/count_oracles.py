"""The law of a count in float64, by definition and by recursion: what the library's is compared with."""

import itertools

import numpy as np
from scipy.special import expit, log_expit, logsumexp


def enumerate_outcomes(logits):
  """Every outcome `[2^T, T]` and its log-probability `[2^T]`: the definition L6."""
  outcomes = np.array(list(itertools.product([0, 1], repeat=len(logits))), dtype=int)
  return outcomes, outcomes @ log_expit(logits) + (1 - outcomes) @ log_expit(-logits)


def enumerated_log_pmf(logits):
  outcomes, log_probs = enumerate_outcomes(logits)
  return np.array([logsumexp(log_probs[outcomes.sum(1) == k]) for k in range(len(logits) + 1)])


def enumerated_posterior(logits, count):
  outcomes, log_probs = enumerate_outcomes(logits)
  fits = outcomes.sum(1) == count
  weights = np.exp(log_probs[fits] - logsumexp(log_probs[fits]))
  return weights @ outcomes[fits], weights, outcomes[fits]


def log_pmf_float64(logits):
  """The recursion L9 in float64 and log space; `enumerated_log_pmf` is its own check."""
  logits = np.asarray(logits, np.float64)
  pmf = np.zeros(1)
  with np.errstate(invalid="ignore"):
    for log_p, log_q in zip(log_expit(logits), log_expit(-logits), strict=True):
      pmf = np.logaddexp(np.append(pmf + log_q, -np.inf), np.append(-np.inf, pmf + log_p))
  return pmf


def gradient_float64(logits, count):
  """`Pr(e_t | Y = count) - p_t`, leaving out one frame at a time."""
  logits = np.asarray(logits, np.float64)
  whole = log_pmf_float64(logits)[count]
  padded = [np.append(-np.inf, log_pmf_float64(np.delete(logits, t))) for t in range(len(logits))]
  return np.exp(log_expit(logits) + [others[count] for others in padded] - whole) - expit(logits)


def posteriors_float64(logits, counts, where, or_more):
  """Log-probability `[N]` of counts, or of counts and more, and the posterior marginals `[N, T]`."""
  values, marginals = np.zeros(len(logits)), np.zeros(logits.shape)
  for row, (x, count, real, tail) in enumerate(zip(logits, counts, where, or_more, strict=True)):
    x = np.asarray(x[real], np.float64)

    def mass(pmf, count, tail=tail):
      return logsumexp(pmf[max(count, 0) :]) if tail else np.append(pmf, -np.inf)[count]

    values[row] = mass(log_pmf_float64(x), count)
    others = [log_pmf_float64(np.delete(x, t)) for t in range(len(x))]
    one_fewer = [mass(pmf, count - 1) if count or tail else -np.inf for pmf in others]
    marginals[row, real] = np.exp(log_expit(x) + one_fewer - values[row])
  return values, marginals
