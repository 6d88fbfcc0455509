import { ChorusError } from '../errors.ts';
import type { Digest, PeerId, SessionId } from '../ids.ts';
import { CLOCK_SKEW_MS } from '../limits.ts';
import type { Manifest } from '../model/manifest.ts';
import { sameRange, type StageRange } from '../model/stage.ts';
import type { SignedSeat } from '../route/seat.ts';
import type { RowsMessage } from '../wire/peer-message.ts';

/** The stage a volunteer has loaded. */
export interface LoadedRange {
  readonly model: Digest;
  readonly range: StageRange;
  readonly manifest: Manifest;
}

/** A volunteer or requester, and how it is reached. */
export interface Hop {
  readonly peer: PeerId;
  readonly webrtc: boolean;
}

/** The part one volunteer has in a session. */
export interface Seat {
  readonly stage: number;
  /** How many stages the route has. */
  readonly stages: number;
  /**
   * `primary`: its output goes on. `shadow`: runs the same rows again, a span at a time, and its output goes nowhere.
   * `replay`: runs what the requester gives it and answers to the requester.
   */
  readonly role: 'primary' | 'shadow' | 'replay';
  /** The peer that may check it. */
  readonly requester: PeerId;
  /** The peer that sends it rows. */
  readonly upstream: PeerId;
  /** Where its output goes; null for a shadow. */
  readonly forward: (Hop & { readonly stage: number; readonly isRequester: boolean }) | null;
  /** The shadows of the next stage, which are sent all that its primary is. */
  readonly shadows: readonly Hop[];
}

/** An `open` as it came from the peer before this stage. */
export interface OpenRequest {
  readonly session: SessionId;
  readonly stage: number;
  readonly from: PeerId;
}

/**
 * The part of `self` in a session that `request.from` asks it to join, by the seat that the server signed for it. Throws
 * `unrouted` if that does not say so: it is another volunteer's, has expired, is for another stage, or names another peer before it.
 */
export function takeSeat(
  seat: SignedSeat,
  request: OpenRequest,
  self: PeerId,
  loaded: LoadedRange,
  wallMs: number,
): Seat {
  const unrouted = (message: string) => new ChorusError('unrouted', message);
  const { stage, stages, role, requester, upstream, shadows } = seat;
  if (seat.session !== request.session) throw unrouted('the seat belongs to another session');
  if (wallMs > seat.expiresAtMs + CLOCK_SKEW_MS) throw unrouted('the route has expired');
  if (seat.volunteer !== self) throw unrouted('the seat is another volunteer’s');
  if (stage !== request.stage) throw unrouted('the route has this volunteer at another stage');
  if (seat.model !== loaded.model || !sameRange(seat.range, loaded.range)) {
    throw unrouted('this volunteer holds another stage');
  }
  if (upstream !== request.from) throw unrouted('the route names another peer before this stage');
  if (role === 'replay' && stages !== 1) throw unrouted('a replay of several stages; exactly one is allowed');
  const isLast = stage === stages - 1;
  const forward = seat.forward && { ...seat.forward, stage: stage + 1, isRequester: isLast };
  return { stage, stages, role, requester, upstream, forward, shadows };
}

/** Throws `bad-message` or `too-long` for rows that the stage cannot take as they are. */
export function checkRows(message: RowsMessage, seat: Seat, loaded: LoadedRange, capacity: number): void {
  const { rows, hops } = message;
  const refuse = (text: string) => new ChorusError('bad-message', text);
  if (message.stage !== seat.stage) throw refuse('these rows are meant for another stage');
  const { kind, rowBytes } = inputOf(loaded);
  if (rows.kind !== kind) throw refuse(`this stage takes ${kind}, not ${rows.kind}`);
  if (rows.count < 1 || rows.bytes.length !== rows.count * rowBytes) throw refuse('the rows have the wrong size');
  if (rows.start + rows.count > capacity) {
    throw new ChorusError('too-long', `the session has room for ${capacity} positions`);
  }
  if (hops.length > seat.stage) throw refuse('the rows name more stages than they passed');
  if (kind === 'tokens') checkTokens(rows.bytes, loaded.manifest.config.vocabularySize);
  else checkFinite(rows.bytes, loaded.manifest.pins.boundary);
}

/** The rows that the stage takes in. */
export function inputOf({ range, manifest }: LoadedRange): { kind: 'tokens' | 'hidden'; rowBytes: number } {
  if (range.embedding) return { kind: 'tokens', rowBytes: 4 };
  return { kind: 'hidden', rowBytes: manifest.config.hiddenSize * (manifest.pins.boundary === 'f16' ? 2 : 4) };
}

/** The output of rows that are no numbers is none either, and would look like this stage's doing. */
function checkFinite(bytes: Uint8Array<ArrayBuffer>, boundary: LoadedRange['manifest']['pins']['boundary']): void {
  const [valueBytes, exponent] = boundary === 'f16' ? [2, 0x7c00] : [4, 0x7f80];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let offset = 0; offset < bytes.length; offset += valueBytes) {
    // The upper half of an f32 holds its whole exponent, as an f16 does.
    const high = view.getUint16(offset + valueBytes - 2, true);
    if ((high & exponent) === exponent) throw new ChorusError('bad-message', 'the rows hold what is no number');
  }
}

function checkTokens(bytes: Uint8Array<ArrayBuffer>, vocabularySize: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let offset = 0; offset < bytes.length; offset += 4) {
    if (view.getUint32(offset, true) >= vocabularySize) {
      throw new ChorusError('bad-message', 'a token id lies outside the vocabulary');
    }
  }
}
