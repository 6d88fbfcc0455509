import type { PeerId } from '../../ids.ts';
import { attestedEnds } from '../evidence/attest.ts';
import { saltedTokens } from '../evidence/salted.ts';
import { badReplay } from './bad-replay.ts';
import { compareTokens, gapMeasureOf } from './compare-tokens.ts';
import { misfitOf } from './misfit.ts';
import type { ReplayedOutput, ReplayReport } from './replay-report.ts';
import { tokenRows } from './replay-stage.ts';
import { ReplayWork, type ReplayOptions } from './replay-work.ts';

export type { ReplayOptions, ReplayProgress } from './replay-work.ts';

const NOT_EXACT = 'what it took in came from a stage that was not equal';

/**
 * Computes an answer again, stage by stage with the cuts of the receipt, and compares what it can: the output chains of
 * replicas of this machine's class bit for bit, if the class is exact and as long as all before them were equal too, and each
 * token of the answer with what the sampler draws here. Throws `bad-message`, with what does not fit and where, for tokens, a salt
 * or chunks that are not those of the receipt, and `cancelled` once `signal` has aborted.
 */
export async function replayReceipt(options: ReplayOptions): Promise<ReplayReport> {
  const { predicate, manifest, tokens, salt } = options;
  const { positions, stages } = predicate;
  const chunks = chosenChunks(options);
  gapMeasureOf(predicate);
  if (saltedTokens(salt, tokens) !== predicate.request.tokens.sha256) throw await misfitOf(options);
  const work = new ReplayWork(options, chunks.at(-1)!);
  const outputs: ReplayedOutput[] = [];
  let inputs = tokenRows(tokens, work.runs);
  let isInputExact = chunks.map(() => true);
  let ownClass = '';
  /** Replicas of the last stage whose bits were computed here too, chunk by chunk. */
  let equals = chunks.map(() => new Set<PeerId>());
  for (const [stage, { replicas }] of stages.entries()) {
    const { numericClass, rows, chainAt } = await work.run(stage, inputs);
    [ownClass, inputs] = [numericClass, rows];
    const isExact = [...isInputExact];
    equals = chunks.map(() => new Set());
    for (const replica of replicas) {
      const { id, role } = replica;
      const signed = work.signedBy(replica, ownClass);
      for (const [i, chunk] of chunks.entries()) {
        const reason = signed.reason || (isInputExact[i] ? '' : NOT_EXACT);
        const isEqual = signed.chainAt(chunk) === chainAt(chunk);
        const outcome = reason !== '' ? 'not-compared' : isEqual ? 'equal' : 'differs';
        outputs.push({ stage, replica: id, role, chunk, outcome, reason });
        if (outcome === 'equal') equals[i]!.add(id);
        if (role === 'primary') isExact[i] &&= isEqual;
      }
    }
    isInputExact = isExact;
  }
  const drawn = compareTokens({
    ...{ predicate, manifest, tokens, ownClass, logits: inputs },
    equals: new Map(chunks.map((chunk, i) => [chunk, equals[i]!])),
  });
  const isCompared = drawn.compared > 0 || outputs.some(({ outcome }) => outcome !== 'not-compared');
  const isEqual = outputs.every(({ outcome }) => outcome !== 'differs') && drawn.beyond === 0;
  const of = { ranges: stages.map(({ range }) => range), positions, promptTokens: predicate.request.tokens.prompt };
  return { isValid: isCompared && isEqual && drawn.undrawn === 0, outputs, tokens: drawn, of };
}

function chosenChunks({ chunks, predicate: { positions } }: ReplayOptions): number[] {
  const { length } = attestedEnds(positions);
  if (chunks === 'all') return Array.from({ length }, (_, chunk) => chunk);
  const chosen = [...new Set(chunks)].sort((a, b) => a - b);
  if (chosen.length === 0 || chosen.some((chunk) => !Number.isInteger(chunk) || chunk < 0 || chunk >= length)) {
    throw badReplay(`a chunk that it does not have; it has 0 to ${length - 1}`);
  }
  return chosen;
}
