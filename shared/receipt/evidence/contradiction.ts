import type { PeerId } from '../../ids.ts';
import type { Outcome } from '../../judge/finding.ts';
import { describeNumericClass, haveEqualBits } from '../../judge/numeric-class.ts';
import type { AttestationPredicate } from './attestation.ts';

interface Judged {
  readonly end: number;
  readonly stages: readonly {
    readonly stage: number;
    readonly findings: readonly { readonly shadow: PeerId; readonly outcome: Outcome; readonly isExact: boolean }[];
  }[];
}

/**
 * The contradiction between the findings on a shadow and the attestations of it and its primary, in words for people; null
 * if there is none. Replicas found equal bit for bit must have signed equal outputs, and so must two of one exact class that
 * were found to agree, where their runs were equal or do not matter. Those that signed equal outputs are equal, whatever
 * else is said of them.
 */
export function contradictionOf(
  primary: AttestationPredicate,
  shadow: AttestationPredicate,
  { spans, id }: { readonly spans: readonly Judged[]; readonly id: PeerId },
): string | null {
  // Output chains cover all positions before their end, so once they differ they differ for good.
  const differs = primary.outputs.find(({ sha256 }, i) => sha256 !== shadow.outputs[i]?.sha256);
  for (const span of spans) {
    const judged = span.stages.find(({ stage }) => stage === primary.stage);
    const finding = judged?.findings.find((each) => each.shadow === id);
    const isEqual = span.end <= equalEnd(primary, differs);
    if (isEqual && finding !== undefined && !finding.isExact)
      return `it signed the same bits before position ${span.end}, and is said to have found others`;
  }
  if (differs === undefined) return null;
  const areRunsEqual = primary.runs.sha256 === shadow.runs.sha256;
  const cannotDiffer = haveEqualBits(primary.numericClass, shadow.numericClass, areRunsEqual);
  for (const span of spans) {
    if (span.end < differs.end) continue;
    const judged = span.stages.find(({ stage }) => stage === primary.stage);
    const finding = judged?.findings.find((each) => each.shadow === id);
    if (finding?.isExact)
      return `it is said to have found the same bits before position ${span.end}, and signed others`;
    if (cannotDiffer && finding?.outcome === 'agreed') {
      const name = describeNumericClass(primary.numericClass);
      return `it is said to agree before position ${span.end}, where ${name} leaves no room for the difference`;
    }
  }
  return null;
}

/** Where the outputs that both signed cease to be equal, at the end of a chunk. */
function equalEnd(
  { outputs }: AttestationPredicate,
  differs: AttestationPredicate['outputs'][number] | undefined,
): number {
  if (differs === undefined) return outputs.at(-1)!.end;
  return outputs[outputs.indexOf(differs) - 1]?.end ?? 0;
}
