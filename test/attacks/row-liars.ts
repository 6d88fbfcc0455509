import type { Candidates } from '#shared/rows/logits-row.ts';

/** The knowledge of a liar when it makes up the output of a span: everything that an honest device would compute, and more. */
export interface HiddenSpan {
  readonly kind: 'hidden';
  readonly hiddenSize: number;
  /** Honest values of the span, and those of the rows that came in (zeros where these are tokens). */
  readonly rows: readonly Float32Array[];
  readonly base: readonly Float32Array[];
  /** Another session's honest rows at the same positions. */
  readonly others: readonly Float32Array[];
  readonly channelScale: Float32Array;
  /** Row of the embedding table of the token that a poisoner wants. */
  readonly wanted: Float32Array;
  /** Relative difference that honest rows reach. */
  readonly honest: number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
}

export interface LogitsSpan extends Pick<HiddenSpan, 'honest' | 'random'> {
  readonly kind: 'logits';
  readonly rows: readonly Candidates[];
  readonly others: readonly Candidates[];
  readonly vocabularySize: number;
}

/** A liar that needs no other device: it changes honest rows. Null where the lie is none for that kind of output. */
export interface RowLiar {
  readonly name: string;
  hidden(span: HiddenSpan): readonly Float32Array[] | null;
  logits(span: LogitsSpan): readonly Candidates[] | null;
}

/** The token that a poisoner wants to be likelier. */
export const WANTED_TOKEN = 300;

export const rowLiars: readonly RowLiar[] = [
  {
    name: 'zeros',
    hidden: ({ rows }) => rows.map((row) => row.map(() => 0)),
    logits: ({ rows, vocabularySize }) =>
      rows.map(({ tokens }) => ({
        logSumExp: Math.fround(Math.log(vocabularySize)),
        tokens: tokens.map((_, i) => i),
        logits: new Float32Array(tokens.length),
      })),
  },
  {
    name: 'sign flip',
    hidden: ({ rows }) => rows.map((row) => row.map((value) => -value)),
    logits: ({ rows }) => rows.map((row) => changed(row, (logit) => -logit)),
  },
  {
    name: 'sign flip of the update',
    hidden: ({ rows, base }) => rows.map((row, t) => row.map((value, c) => 2 * base[t]![c]! - value)),
    logits: () => null,
  },
  {
    name: 'random, of the right norm',
    hidden: (span) =>
      span.rows.map((row) => {
        const noise = row.map((_, c) => gaussian(span.random) * span.channelScale[c]!);
        const ratio = length(row) / length(noise);
        return noise.map((value) => value * ratio);
      }),
    logits: ({ rows, random }) =>
      rows.map((row) => {
        const order = row.tokens.map((_, i) => i).sort(() => random() - 0.5);
        return sorted({ ...row, tokens: order.map((i) => row.tokens[i]!) });
      }),
  },
  ...[1e-5, 1e-4, 1e-3, 1e-2].map((size) => ({
    name: `constant push of ${size} toward a token`,
    hidden: ({ rows, base, wanted }: HiddenSpan) =>
      rows.map((row, t) => {
        const update = length(row.map((value, c) => value - base[t]![c]!));
        return row.map((value, c) => value + (size * update * wanted[c]!) / length(wanted));
      }),
    logits: ({ rows }: LogitsSpan) =>
      rows.map((row) => {
        const pushed = size * Math.sqrt(row.tokens.length) * row.logSumExp;
        // Where the token is not among the candidates it takes the last place of them.
        const place = row.tokens.indexOf(WANTED_TOKEN);
        const tokens = row.tokens.slice();
        if (place === -1) tokens[tokens.length - 1] = WANTED_TOKEN;
        return sorted({
          ...row,
          tokens,
          logits: row.logits.map((logit, i) => (tokens[i] === WANTED_TOKEN ? logit + pushed : logit)),
        });
      }),
  })),
  ...[0.1, 1, 3, 10].map((times) => ({
    name: `noise at ${times} × honest`,
    hidden: ({ rows, base, channelScale, honest, random }: HiddenSpan) =>
      rows.map((row, t) => {
        const scaled = row.map((value, c) => (value - base[t]![c]!) / channelScale[c]!);
        const size = (times * honest * length(scaled)) / Math.sqrt(row.length);
        return row.map((value, c) => value + size * channelScale[c]! * gaussian(random));
      }),
    logits: ({ rows, honest, random }: LogitsSpan) =>
      rows.map((row) => {
        const size = times * honest * rootMeanSquare(row.logits.map((logit) => logit - row.logSumExp));
        return changed(row, (logit) => logit + size * gaussian(random));
      }),
  })),
  {
    name: 'another session’s answer',
    hidden: ({ others }) => others,
    logits: ({ others }) => others,
  },
  {
    name: 'rows one position late',
    hidden: ({ rows }) => rows.map((_, t) => rows[Math.max(0, t - 1)]!),
    logits: ({ rows }) => rows.map((_, t) => rows[Math.max(0, t - 1)]!),
  },
  {
    name: 'NaN',
    hidden: ({ rows }) => rows.map((row, t) => (t === rows.length - 1 ? row.map(() => NaN) : row)),
    logits: ({ rows }) => lastLogits(rows, NaN),
  },
  {
    name: 'Inf',
    hidden: ({ rows }) =>
      rows.map((row, t) => (t === rows.length - 1 ? row.map((value, c) => (c === 7 ? Infinity : value)) : row)),
    logits: ({ rows }) => lastLogits(rows, Infinity),
  },
  {
    name: 'one row of the span is another’s',
    hidden: ({ rows, others }) => rows.map((row, t) => (t === rows.length >>> 1 ? others[t]! : row)),
    logits: ({ rows, others }) => rows.map((row, t) => (t === rows.length >>> 1 ? others[t]! : row)),
  },
  {
    name: 'best two tokens swapped, where they are closest in the span',
    hidden: () => null,
    logits: ({ rows }) => {
      const margins = rows.map(({ logits }) => logits[0]! - logits[1]!);
      const closest = margins.indexOf(Math.min(...margins));
      return rows.map((row, t) => {
        if (t !== closest) return row;
        const [first, second, ...rest] = row.tokens;
        return sorted({ ...row, tokens: Uint32Array.from([second!, first!, ...rest]) });
      });
    },
  },
];

function lastLogits(rows: readonly Candidates[], value: number): Candidates[] {
  return rows.map((row, t) =>
    t === rows.length - 1 ? { ...row, logits: row.logits.map((logit, i) => (i === 0 ? value : logit)) } : row,
  );
}

function changed(row: Candidates, change: (logit: number) => number): Candidates {
  return sorted({ ...row, logits: row.logits.map(change) });
}

/** In the order that a logits row must have. */
function sorted(row: Candidates): Candidates {
  const order = Array.from(row.tokens, (_, i) => i).sort(
    (a, b) => row.logits[b]! - row.logits[a]! || row.tokens[a]! - row.tokens[b]!,
  );
  return {
    logSumExp: row.logSumExp,
    tokens: Uint32Array.from(order, (i) => row.tokens[i]!),
    logits: Float32Array.from(order, (i) => row.logits[i]!),
  };
}

function gaussian(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

function length(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}

function rootMeanSquare(values: Float32Array): number {
  return length(values) / Math.sqrt(values.length);
}
