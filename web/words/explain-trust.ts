import { PROBATION_CHUNKS } from '#shared/limits.ts';
import type { VolunteerStanding } from '#shared/peer/volunteer/volunteer-state.ts';
import type { NetworkSnapshot } from '#shared/wire/network-snapshot.ts';
import { formatCount, plural } from './format.ts';

export type VolunteerTrust = NetworkSnapshot['volunteers'][number]['trust'];

/** The server's opinion of a volunteer's work so far. */
export type TrustState = 'suspended' | 'new' | 'proven';

export function trustState({ isNew, suspendedUntilMs }: VolunteerTrust, serverTimeMs: number): TrustState {
  if (suspendedUntilMs !== null && suspendedUntilMs > serverTimeMs) return 'suspended';
  return isNew ? 'new' : 'proven';
}

/** A few words for a table. */
export function nameTrust(trust: VolunteerTrust, serverTimeMs: number): string {
  switch (trustState(trust, serverTimeMs)) {
    case 'suspended':
      return `suspended until ${formatMoment(trust.suspendedUntilMs ?? 0, serverTimeMs)}`;
    case 'new':
      return `new, ${trust.witnessedSpans} of ${PROBATION_CHUNKS}`;
    case 'proven':
      return formatCount(trust.witnessedSpans + trust.agreedSpans);
  }
}

/** The same for the volunteer itself, and what follows from it. */
export function explainTrust(trust: VolunteerTrust, serverTimeMs: number): string {
  switch (trustState(trust, serverTimeMs)) {
    case 'suspended': {
      const until = formatMoment(trust.suspendedUntilMs ?? 0, serverTimeMs);
      return (
        `This tab’s key gets no work until ${until}: something it signed shows that it computed a chunk wrongly. ` +
        'A driver or a browser can be at fault. The CPU may work where WebGPU does not: choose it in the settings.'
      );
    }
    case 'new':
      return (
        `This tab’s key is new: two others re-run what it does until the server has seen ${PROBATION_CHUNKS} chunks of its ` +
        `work to be right. It has seen ${trust.witnessedSpans} so far; ${alsoAgreed(trust)}.`
      );
    case 'proven':
      return `The server saw ${plural(trust.witnessedSpans, 'chunk')} of this tab’s work to be right; ${alsoAgreed(trust)}.`;
  }
}

/** The standing that the server tells the volunteer of, and what follows from it. */
export function explainStanding({ gate, spans, neededSpans, reason, untilMs }: VolunteerStanding): string {
  if (gate === 'trial') return 'The server tries this tab with a few tokens. Work comes once it has passed.';
  if (gate === 'closed') {
    const until = untilMs === null ? 'for a while' : `until ${formatMoment(untilMs, untilMs)}`;
    return `This tab gets no work ${until}: ${reason ?? 'it failed a session of the server’s own.'}`;
  }
  if (spans >= neededSpans) return 'This tab’s key is trusted: enough of its work was found right.';
  return (
    `This tab’s key is new: two others re-run what it does until ${neededSpans} chunks were found right. ` +
    `${spans} were so far; the count moves late.${reason === null ? '' : ` (${reason}.)`}`
  );
}

/** A few words for what a volunteer is given, where it is not simply work; null where it is. */
export function nameGate(gate: NetworkSnapshot['volunteers'][number]['gate']): string | null {
  if (gate === 'trial') return 'being tried';
  return gate === 'closed' ? 'left out for now' : null;
}

/** What the server's own sessions came to, for everybody. */
export function explainHiddenSessions({ sessions: { trial, later } }: NetworkSnapshot['hiddenSessions']): string {
  const held = trial.passed + trial.failed + trial.unclear + later.passed + later.failed + later.unclear;
  if (held === 0) return 'The server also asks for answers of its own to try volunteers; it counts them once an hour.';
  const found = trial.failed + later.failed;
  return (
    `The server also asked for ${plural(held, 'answer')} of its own to try volunteers; ` +
    `${formatCount(found)} of them found something wrong. Counted once an hour.`
  );
}

function alsoAgreed({ agreedSpans }: VolunteerTrust): string {
  return `${formatCount(agreedSpans)} more agreed with what others computed`;
}

/** The time of a moment; with the day where that is not today's. */
export function formatMoment(atMs: number, serverTimeMs: number): string {
  const isSameDay = new Date(atMs).toDateString() === new Date(serverTimeMs).toDateString();
  const time = { hour: '2-digit', minute: '2-digit' } as const;
  return new Intl.DateTimeFormat(undefined, isSameDay ? time : { ...time, day: 'numeric', month: 'short' }).format(
    atMs,
  );
}
