import { z } from 'zod';

/** The kind of program that a peer is, for the operator's eyes. */
export const peerKindSchema = z.enum(['tab', 'anchor', 'gateway', 'cli']);

export type PeerKind = z.infer<typeof peerKindSchema>;
