import { ChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import type { Evidence } from '../../receipt/evidence/evidence.ts';
import type { LiveSession } from '../session/live-session.ts';
import type { Replacement } from './replacement.ts';

const UNSIGNED = 'a volunteer does not sign what it computed';

/** How long a complete answer waits for others to sign it, from when a record was found to be missing. */
const SIGN_AGAIN_MS = 5_000;

/**
 * The replicas without whose records a receipt of this answer could not say that it was checked, although it was: primaries that
 * signed nothing, and all shadows of a stage where none that agreed did. Empty where it was not checked.
 */
export function withholdersOf({ spans, tier, attestations }: Evidence): PeerId[] {
  if (tier !== 'checked' && tier !== 'settled') return [];
  const signed = new Set(attestations.map(({ replica }) => replica));
  const missing = spans.flatMap(({ stages }) =>
    stages.flatMap(({ tier: ofStage, primary, findings }) => {
      const shadows = findings.map(({ shadow }) => shadow);
      const isBorneOut = ofStage !== 'checked' || shadows.some((shadow) => signed.has(shadow));
      return [primary, ...(isBorneOut ? [] : shadows)].filter((id) => !signed.has(id));
    }),
  );
  return [...new Set(missing)];
}

/**
 * The second session of a complete answer, whose rows others compute, check and sign anew where a record that its verdict rests on
 * was withheld. The answer stays as it is; there is one such session for it at most, and none without a route that is better.
 */
export class SigningAgain {
  #first: Evidence | null = null;
  #step: 'none' | 'seeking' | 'running' | 'over' = 'none';
  #byMs = Infinity;
  #checkedEnd = 0;

  /** True while the answer waits for it. */
  get isOpen(): boolean {
    return this.#step === 'seeking' || this.#step === 'running';
  }

  /** True while the session is there. */
  get isRunning(): boolean {
    return this.#step === 'running';
  }

  /** True once every row of the session has its verdict. */
  get isChecked(): boolean {
    return this.isRunning && this.#checkedEnd >= this.rows.length;
  }

  /** The tokens to feed, of which the last alone is asked for logits. */
  get rows(): readonly number[] {
    return this.#first?.tokens.slice(0, this.#first.positions) ?? [];
  }

  get deadlineMs(): number {
    return this.isOpen ? this.#byMs : Infinity;
  }

  /** The route that is needed in place of this session's; null where none is, or where one was sought already. */
  seek(session: LiveSession, first: Evidence, nowMs: number): Replacement | null {
    const blamed = this.#step === 'none' ? withholdersOf(first) : [];
    if (blamed.length === 0) return null;
    this.#first = first;
    this.#step = 'seeking';
    this.#byMs = nowMs + SIGN_AGAIN_MS;
    return { session, why: 'unsigned', error: new ChorusError('check-failed', UNSIGNED), blamed };
  }

  run(): void {
    this.#step = 'running';
  }

  checked(end: number): void {
    this.#checkedEnd = Math.max(this.#checkedEnd, end);
  }

  end(): void {
    if (this.isOpen) this.#step = 'over';
  }

  /** Of what the answer had before and what it has now, that which proves more. */
  better(now: Evidence | null): Evidence | null {
    const isGood =
      now !== null && (now.tier === 'checked' || now.tier === 'settled') && withholdersOf(now).length === 0;
    return isGood ? now : (this.#first ?? now);
  }
}
