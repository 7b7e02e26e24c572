/** E-mail: one thread an alert, so that a mailbox shows its story and not a pile. */
import { createTransport } from 'nodemailer'
import { PermanentDeliveryError } from './channel.ts'
import type { Channel } from './channel.ts'

export type MailSettings = { readonly smtpUrl: string; readonly from: string; readonly to: readonly string[] }

export function mailChannel({ smtpUrl, from, to }: MailSettings): Channel {
  // A file or an address in a message is never followed.
  const transport = createTransport({
    url: smtpUrl,
    disableFileAccess: true,
    disableUrlAccess: true,
    connectionTimeout: 10_000,
    socketTimeout: 20_000,
  })
  return {
    name: 'mail',
    async deliver({ id, thread: threadId, transition, subject, text, mailTo }) {
      const thread = `<${threadId}@alerts.millwright>`
      const isFirst = transition === 'raised' || transition === 'digest-0'
      try {
        await transport.sendMail({
          from,
          to: [...(mailTo ?? to)],
          subject: isFirst ? subject : `Re: ${subject}`,
          text,
          messageId: isFirst ? thread : `<${id}@alerts.millwright>`,
          ...(isFirst ? {} : { inReplyTo: thread, references: [thread] }),
          headers: { 'Auto-Submitted': 'auto-generated' },
        })
      } catch (error) {
        const code = (error as { responseCode?: number }).responseCode
        if (code !== undefined && code >= 500) throw new PermanentDeliveryError(`the mail server answered ${code}`, { cause: error })
        throw error
      }
      return {}
    },
    close: () => transport.close(),
  }
}
