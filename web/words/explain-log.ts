import type { LogHead } from '#shared/log/log-head.ts';
import { describeLogView } from '#shared/log/log-history.ts';
import type { LogFinding } from '../state/log-watch.svelte.ts';
import { formatDuration } from './format.ts';

/** The words for the log, in one place. */

export interface FindingText {
  readonly tone: 'calm' | 'warm' | 'danger';
  readonly title: string;
  readonly text: string;
  /** Advice for the person; null where there is nothing to do. */
  readonly advice: string | null;
}

/** A finding about the log, for people. */
export function explainFinding(finding: LogFinding): FindingText {
  switch (finding.kind) {
    case 'first-seen':
      return calm('This browser sees the log for the first time', describeLogView(finding));
    case 'same':
    case 'grown':
      return calm('The log is the one that this browser knows', describeLogView(finding));
    case 'split-view':
      return {
        tone: 'danger',
        title: 'The log has two histories',
        text: describeLogView(finding),
        advice:
          'Do not rely on receipts of this log. Save both checkpoints and give them to the operator, to its witnesses and ' +
          'to others who use it: the log signed both, so nobody can say that it did not.',
      };
    case 'shrunk':
      return {
        tone: 'danger',
        title: 'The log is shorter than it was',
        text: describeLogView(finding),
        advice:
          'Look again in a minute: a copy that is behind catches up by itself. If it does not, ask the operator, and save ' +
          'both checkpoints.',
      };
    case 'other-key':
      return {
        tone: 'danger',
        title: 'This is another log than the one that this browser knows',
        text:
          'Its key has changed. That happens when an operator begins anew with an empty data folder, and also when ' +
          'somebody else answers at this address.',
        advice:
          'Ask the operator whether the log was begun anew. If it was, forget the old one here; receipts of the old log ' +
          'stay good with its key.',
      };
    case 'unusable':
      return {
        tone: 'danger',
        title: 'What the server shows is not its log',
        text: describeLogView(finding),
        advice: 'Nothing is known of the log until it shows files that fit together.',
      };
    case 'unreachable':
      return { tone: 'warm', title: 'The log cannot be reached', text: describeLogView(finding), advice: null };
  }
}

/** The two checkpoints that do not fit together, each a signed note; null where there are no two. */
export function checkpointsOf(
  finding: LogFinding,
): readonly { readonly name: string; readonly head: LogHead }[] | null {
  if (finding.kind !== 'split-view' && finding.kind !== 'shrunk') return null;
  return [
    { name: 'remembered', head: finding.remembered },
    { name: 'shown', head: finding.shown },
  ];
}

/** `4 min ago`, `just now`. */
export function describeAge(atMs: number, nowMs: number): string {
  const ageMs = nowMs - atMs;
  return ageMs < 2_000 ? 'just now' : `${formatDuration(ageMs)} ago`;
}

function calm(title: string, text: string): FindingText {
  return { tone: 'calm', title, text, advice: null };
}
