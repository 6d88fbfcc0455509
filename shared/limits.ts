/** Sizes, counts and times that both ends of a boundary must agree on. Units are in the names. */

const KIB = 1024;
const MIB = 1024 * KIB;

/** Raised with every message or field that is added or changed, for a peer that does not know it ends the connection (docs/protocol.md). */
export const PROTOCOL_VERSION = 5;

/** Positions that are checked together: a chunk. */
export const CHUNK_POSITIONS = 32;
/** Candidates the last stage returns for each position, with the log-sum-exp of all of them. */
export const TOP_K = 64;

/** One piece on a data channel or the relay. SCTP messages up to 16 KiB pass every browser unfragmented by interleaving. */
export const MAX_PIECE_BYTES = 16 * KIB;
/** One reassembled peer message: a chunk of 32 rows at hidden size 16,384 in f32 is 2 MiB. */
export const MAX_PEER_MESSAGE_BYTES = 4 * MIB;
/** Unfinished messages one link may hold at once. */
export const MAX_OPEN_MESSAGES = 16;
/** Bytes a link may have handed to its channel and not seen leave; senders wait above it. */
export const LINK_WINDOW_BYTES = 1 * MIB;
/** One JSON message on the control socket; the largest is a report with its proof. */
export const MAX_CONTROL_MESSAGE_BYTES = 512 * KIB;

/** Characters of a reason in a message; an encoder cuts longer ones. */
export const MAX_REASON_CHARACTERS = 500;
/** Bytes of the reason with which the relay closes a channel. */
export const MAX_RELAY_REASON_BYTES = 200;
/** One hidden row: 65,536 values in f32, the most that a manifest may name. */
export const MAX_ROW_BYTES = 4 * 65_536;
/** Messages of a session that may wait for one before them. Links keep order, so more than a few mean that one was lost. */
export const MAX_HELD_MESSAGES = 32;
/** Bytes that may wait for one peer whose link is not there yet, or does not take them. */
export const MAX_BACKLOG_BYTES = 16 * MIB;
/** Rows that prove a false sketch; more would not fit a report. */
export const MAX_PROOF_ROWS_BYTES = 300 * KIB;
/** Receipts on one page of `GET /api/receipts`. */
export const MAX_LISTED_RECEIPTS = 200;

/** One piece of a blob; each has its own digest in the manifest. */
export const BLOB_PIECE_BYTES = 1 * MIB;
export const MAX_BLOB_BYTES = 2 * 1024 * MIB;
export const MAX_MANIFEST_BYTES = 8 * MIB;
export const MAX_LAYERS = 256;
export const MAX_POSITIONS = 131_072;
/** Positions of the shortest session that a requester asks for. */
export const LEAST_CAPACITY = 512;
export const MAX_STAGES = 64;
export const MAX_SHADOWS = 4;

export const HANDSHAKE_TIMEOUT_MS = 5_000;
/** After this long without a data channel the relay takes over. */
export const WEBRTC_TIMEOUT_MS = 5_000;
export const HEARTBEAT_MS = 2_000;
/** Silence after which the server takes a volunteer for gone. */
export const HEARTBEAT_TIMEOUT_MS = 8_000;
export const LINK_PING_MS = 2_000;
export const LINK_PING_TIMEOUT_MS = 6_000;
/** A link without messages this long is closed; sessions end sooner. */
export const LINK_IDLE_MS = 150_000;
/** Links, and channels on their way to be links, that one peer keeps. */
export const MAX_LINKS = 256;
export const MAX_LINKS_PER_PEER = 4;
/** A session that has been silent this long is closed and its KV given back. */
export const SESSION_IDLE_MS = 120_000;
/** How long a route may be used at all. */
export const SESSION_LEASE_MS = 15 * 60_000;
/** How long the sessions of a requester that lost the server are kept for it. */
export const RESUME_MS = 10_000;
/** Sessions that one requester may have at once, whatever a server grants. */
export const MAX_REQUESTER_SESSIONS = 1_000;
/** How long a requester waits for one lap round the route before it asks for another route. */
export const LAP_TIMEOUT_MS = 20_000;
export const ROUTE_TIMEOUT_MS = 60_000;
/** A stage may have to build shaders or fold weights for a new session. */
export const OPEN_TIMEOUT_MS = 20_000;
/** How long an `open` may be ahead of the seat that the server gives the volunteer. */
export const SEAT_WAIT_MS = 5_000;
/** How long one run may keep its session waiting; shorter than a lap, so that the stage at fault names itself. */
export const RUN_TIMEOUT_MS = 15_000;
/** How long rows may be under way before the requester asks where they are: no sooner than this, however quick laps are. */
export const PROGRESS_ASK_MS = 250;
/** How often it asks again. */
export const PROGRESS_PERIOD_MS = 125;
/** A replica whose answers take no time, and that gives none for this long while others do, is silent. */
export const PROGRESS_SILENCE_MS = 250;
/** The lap that is never too long, however quick others were. */
export const LAP_FLOOR_MS = 500;
/** How long a second replica of a stage has to confirm what another says against the peer that sends to both. */
export const REFUSAL_WAIT_MS = 2_000;
/** How long a hole in a session's messages may stay open. */
export const GAP_TIMEOUT_MS = 5_000;
/** How long a replica that is asked to commit waits for the rows; shorter than a commit may take, so that it can report that they are missing. */
export const ROWS_TIMEOUT_MS = 10_000;
/** Reaching the next peer of a route: a failed try with WebRTC, then the relay's handshake. */
export const CONNECT_TIMEOUT_MS = WEBRTC_TIMEOUT_MS + HANDSHAKE_TIMEOUT_MS;
/** Rows messages of one session that may wait for a stage, and that a requester may have on the way. */
export const MAX_QUEUED_ROWS = 64;
export const PROMPT_WINDOW = 16;
/** Other routes a requester tries for one answer. */
export const MAX_REROUTES = 3;
/** How long a requester keeps away from a volunteer that failed it. */
export const EXCLUDE_MS = 60_000;
/** How long running sessions may take to end when a volunteer finishes or is moved. */
export const DRAIN_TIMEOUT_MS = 30_000;
/** Allowance for clocks that differ, when a route's end is checked. */
export const CLOCK_SKEW_MS = 60_000;

/** Numbers in the sketch of one row. */
export const SKETCH_SIZE = 16;
/** A span that is open this long without a new position is closed and checked as it is. */
export const CHECK_SILENCE_MS = 2_000;
/** How long a replica may take to commit, from when the requester asked, and to reveal. */
export const COMMIT_TIMEOUT_MS = 20_000;
export const REVEAL_TIMEOUT_MS = 5_000;
/** Tokens of one session that another replica may draw in place of the primary; one that loses more is left out. */
export const MAX_REDRAWS = 8;
/** Spans that a replica may be behind with; a shadow further behind has failed. */
export const MAX_OPEN_CHECKS = 16;
/** Spans of one session: the length of its seed chain. */
export const MAX_CHECKS = 2_048;
/** How long an arbiter or referee may take for one replay. */
export const SETTLE_TIMEOUT_MS = 60_000;
/** Checked chunks after which a key is no longer new. */
export const PROBATION_CHUNKS = 10;

/** One replica's signed record as JSON: 128 bytes for each chunk of the longest session. */
export const MAX_ATTESTATION_BYTES = 640 * KIB;
/** How long a complete answer waits for its replicas' signed records. */
export const RECORD_TIMEOUT_MS = 3_000;
/** How long it waits for the last of them, once it has all others'. */
export const LAST_RECORD_MS = 1_500;
/** Records that a replica signs in one session; a requester goes on in another before it asks for more. */
export const MAX_RECORDS = 128;
