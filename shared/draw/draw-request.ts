import { utf8 } from '../bytes.ts';
import type { Digest, PeerId } from '../ids.ts';

/** What a requester asks for a route with, as it signs it: the draw depends on all of it. */
export interface DrawRequest {
  /** The newest checkpoint of the log that it saw: entries, and the root in base64. */
  readonly checkpoint: { readonly size: number; readonly root: string };
  /** 16 random bytes in hexadecimal, chosen after it saw that. */
  readonly nonce: string;
  /** 8 random bytes in hexadecimal, for all requests of one visit or run. */
  readonly series: string;
  /** Of this requester's requests in the series, from 1; those that were refused count. */
  readonly number: number;
  /** For each stage. */
  readonly shadows: number;
}

/** What a request is about, besides. */
export interface DrawContext {
  /** Id of the server's key. */
  readonly server: PeerId;
  readonly model: Digest;
  readonly requester: PeerId;
  /** Positions that the session may come to. */
  readonly capacity: number;
}

/** The bytes that a requester signs. */
export function drawRequestBytes(request: DrawRequest, context: DrawContext): Uint8Array<ArrayBuffer> {
  return utf8(['chorus-draw-request/1', ...linesOf(request, context), ''].join('\n'));
}

/** The input of the VRF: the request, and the roster (root in base64) that is drawn from. */
export function drawInput(request: DrawRequest, context: DrawContext, roster: string): Uint8Array<ArrayBuffer> {
  return utf8(['chorus-draw/1', roster, ...linesOf(request, context), ''].join('\n'));
}

function linesOf(
  { checkpoint, nonce, series, number, shadows }: DrawRequest,
  { server, model, requester, capacity }: DrawContext,
): (string | number)[] {
  return [server, model, requester, capacity, checkpoint.size, checkpoint.root, nonce, series, number, shadows];
}
