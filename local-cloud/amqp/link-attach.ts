/** What both ends say of a link when it is opened: the attach frames, which rhea's typings leave out (part 2, §2.7.3). */
import type { Receiver, Sender } from 'rhea'

type LocalAttach = { snd_settle_mode?: number; max_message_size?: number; properties?: object }
type RemoteAttach = { readonly snd_settle_mode?: number; readonly properties?: Readonly<Record<string, unknown>> }
type Attached = { readonly local: { readonly attach: LocalAttach }; readonly remote: { readonly attach: RemoteAttach } }

/** Ours, until it is written: in the turn in which the peer's has come. */
export function localAttach(link: Sender | Receiver): LocalAttach {
  return (link as unknown as Attached).local.attach
}

export function remoteAttach(link: Sender | Receiver): RemoteAttach {
  return (link as unknown as Attached).remote.attach
}
