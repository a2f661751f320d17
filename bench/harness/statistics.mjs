// Medians and ratios within a round.

/** The middle value; null of nothing. */
export function median(values) {
  const known = values.filter((value) => value !== null);
  return known.length === 0
    ? null
    : known.toSorted((left, right) => left - right)[Math.floor((known.length - 1) / 2)];
}

/** The value below which a share of the others lies. */
export function quantile(values, share) {
  return values.toSorted((left, right) => left - right)[Math.floor((values.length - 1) * share)];
}

/** Median, least and greatest value of a member over rounds. */
export function spread(rounds, member) {
  const values = rounds.map((round) => round[member]).filter((value) => value !== null);
  return values.length === 0
    ? null
    : { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** Ratio of a member in each round, then the spread of these: noise changes from round to round and hits both alike. */
export function ratio(rounds, others, member = 'cpu') {
  return spread(
    rounds.map((round, index) => ({ ratio: round[member] / others[index][member] })),
    'ratio',
  );
}

/** Difference of a member to another contestant in the same round. */
export function difference(rounds, others, member) {
  return spread(
    rounds.map((round, index) => ({
      difference:
        round[member] === null || others[index][member] === null
          ? null
          : round[member] - others[index][member],
    })),
    'difference',
  );
}
