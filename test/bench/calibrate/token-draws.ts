import { candidatesOf } from '#shared/judge/closeness.ts';
import type { Reveal } from '#shared/judge/statement.ts';
import { sampleToken, tokenGap, type Sampling } from '#shared/rows/sampler.ts';

/** How two replicas draw: the likeliest token, from all tokens, and as people set it. */
export const samplings = {
  greedy: { temperature: 0, topP: 1, seed: 0 },
  plain: { temperature: 1, topP: 1, seed: 11 },
  warm: { temperature: 0.8, topP: 0.95, seed: 11 },
} as const satisfies Record<string, Sampling>;
type SamplingName = keyof typeof samplings;

/** What two replicas draw from their logits of the same positions. */
export interface TokenDraws {
  /** How many tokens differ, and how far at most the one was from drawing the other's. */
  readonly drawn: Readonly<Record<SamplingName, { readonly others: number; readonly largestGap: number }>>;
  /** The largest difference between the logits of a token that both name. Ties of twice as much can be broken either way. */
  readonly largestChange: number;
}

/** Draws from the logits that both revealed of a span. */
export function compareDraws(primary: Reveal, shadow: Reveal, vocabularySize: number): TokenDraws {
  const [mine, theirs] = [primary, shadow].map((reveal) => candidatesOf(reveal, vocabularySize));
  const draw = (sampling: Sampling): TokenDraws['drawn'][SamplingName] => {
    let [others, largestGap] = [0, 0];
    mine!.forEach((row, i) => {
      const position = shadow.start + i + 1;
      const { token } = sampleToken(row, sampling, position);
      if (sampleToken(theirs![i]!, sampling, position).token === token) return;
      others += 1;
      largestGap = Math.max(largestGap, tokenGap(theirs![i]!, sampling, position, token));
    });
    return { others, largestGap };
  };
  const changes = mine!.flatMap((row, i) => {
    const others = new Map(Array.from(theirs![i]!.tokens, (token, at) => [token, theirs![i]!.logits[at]!]));
    return Array.from(row.tokens, (token, at) => Math.abs(row.logits[at]! - (others.get(token) ?? row.logits[at]!)));
  });
  return {
    drawn: { greedy: draw(samplings.greedy), plain: draw(samplings.plain), warm: draw(samplings.warm) },
    largestChange: Math.max(0, ...changes),
  };
}
