import { z } from 'zod';
import { ChorusError } from '#shared/errors.ts';
import { firstFault, formWords } from '#shared/form-words.ts';
import { peerIdSchema } from '#shared/ids.ts';
import { peerControlMessageSchema, serverMessageSchema } from '#shared/wire/control-message.ts';
import { peerKindSchema } from '#shared/wire/peer-kind.ts';
import type { FromPeer, PeerAddress, ToPeer } from './control-router.ts';

/** A message on its way from one end to the other; `bye` is the last of each side. */
export type Parcel<Message> = 'bye' | (PeerAddress & { readonly message: Message });

const joinedSchema = z.strictObject({
  type: z.literal('joined'),
  kind: peerKindSchema,
  prefix: z.string().max(64),
  client: z.string().max(64).nullable(),
});
const leftSchema = z.strictObject({ type: z.literal('left'), silent: z.literal(true).optional() });
const fromPeerSchema = z.union([joinedSchema, leftSchema, peerControlMessageSchema]);

const parcelOf = <Message extends z.ZodType>(message: Message) =>
  z.union([z.literal('bye'), z.strictObject({ id: peerIdSchema, connection: z.int().min(1), message })]);
const parcelFromPeerSchema = parcelOf(fromPeerSchema);
const parcelToPeerSchema = parcelOf(serverMessageSchema);

/** Reads what the edge of another process has sent. Throws `bad-message`. */
export function parseFromPeer(text: string): Parcel<FromPeer> {
  const parcel = parse(parcelFromPeerSchema, text);
  if (parcel === 'bye') return parcel;
  const { message } = parcel;
  if (message.type === 'prove' || message.type === 'alive')
    throw new ChorusError('bad-message', `a message of type ${message.type}; these are for the edge alone`);
  return { ...parcel, message };
}

/** Reads what the desks of another process have sent. Throws `bad-message`. */
export function parseToPeer(text: string): Parcel<ToPeer> {
  const parcel = parse(parcelToPeerSchema, text);
  if (parcel === 'bye') return parcel;
  const { message } = parcel;
  if (message.type === 'challenge' || message.type === 'welcome' || message.type === 'alive')
    throw new ChorusError('bad-message', `a message of type ${message.type}; the edge makes these itself`);
  return { ...parcel, message };
}

function parse<Schema extends z.ZodType>(schema: Schema, text: string): z.infer<Schema> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new ChorusError('bad-message', 'a text that is not JSON');
  }
  const parsed = schema.safeParse(json, { error: formWords });
  if (parsed.success) return parsed.data;
  throw new ChorusError('bad-message', `a malformed text (${firstFault(parsed.error, 'the whole of it')})`);
}
