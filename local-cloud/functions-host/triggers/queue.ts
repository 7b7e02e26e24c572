/** The storage queue trigger: visibility, dequeue count, poison queue. */
import { setTimeout as delay } from 'node:timers/promises'
import { QueueServiceClient } from '@azure/storage-queue'
import type { DequeuedMessageItem, QueueClient } from '@azure/storage-queue'
import type { InvocationRequest, TypedData } from '../core-api.ts'
import { storageRetries } from '../storage-retries.ts'

/** `extensions.queues` of host.json. */
export type QueueSettings = {
  readonly batchSize: number
  readonly maxDequeueCount: number
  readonly maxPollingMs: number
  readonly visibilityTimeoutS: number
}

export type QueueListenerOptions = {
  readonly storage: string
  readonly queueName: string
  readonly settings: QueueSettings
  readonly bindingName: string
  readonly invoke: (request: InvocationRequest) => Promise<void>
  readonly warn: (text: string) => void
}

const pollMsMin = 100
/** How long a message stays invisible while its function runs. */
const processingS = 600

export async function startQueueListener(options: QueueListenerOptions): Promise<{ stop(): Promise<void> }> {
  const { queueName, settings, warn } = options
  const service = QueueServiceClient.fromConnectionString(options.storage, storageRetries)
  const queue = service.getQueueClient(queueName)
  await queue.createIfNotExists()
  const poison = service.getQueueClient(`${queueName}-poison`)
  const stopping = new AbortController()
  const running = (async () => {
    let pauseMs = pollMsMin
    while (!stopping.signal.aborted) {
      try {
        const { receivedMessageItems } = await queue.receiveMessages({
          numberOfMessages: settings.batchSize,
          visibilityTimeout: processingS,
          abortSignal: stopping.signal,
        })
        await Promise.all(receivedMessageItems.map((item) => process(item, queue, poison, options)))
        pauseMs = receivedMessageItems.length > 0 ? pollMsMin : Math.min(pauseMs * 2, settings.maxPollingMs)
      } catch (error) {
        if (stopping.signal.aborted) return
        warn(`queue ${queueName}: ${String(error)}`)
        pauseMs = settings.maxPollingMs
      }
      await delay(pauseMs, undefined, { signal: stopping.signal }).catch(() => {})
    }
  })()
  return {
    async stop() {
      stopping.abort()
      await running
    },
  }
}

async function process(
  item: DequeuedMessageItem,
  queue: QueueClient,
  poison: QueueClient,
  { settings, bindingName, invoke, warn, queueName }: QueueListenerOptions,
): Promise<void> {
  const text = decodeQueueText(item.messageText)
  if (item.dequeueCount > settings.maxDequeueCount) {
    await poison.createIfNotExists()
    await poison.sendMessage(item.messageText)
    await queue.deleteMessage(item.messageId, item.popReceipt)
    return
  }
  const instant = (date: Date): TypedData => ({ json: JSON.stringify(date) })
  try {
    await invoke({
      inputData: [{ name: bindingName, data: { string: text } }],
      triggerMetadata: {
        QueueTrigger: { string: text },
        Id: { string: item.messageId },
        DequeueCount: { string: String(item.dequeueCount) },
        PopReceipt: { string: item.popReceipt },
        InsertionTime: instant(item.insertedOn),
        ExpirationTime: instant(item.expiresOn),
        NextVisibleTime: instant(item.nextVisibleOn),
      },
    })
    await queue.deleteMessage(item.messageId, item.popReceipt)
  } catch (error) {
    warn(`queue ${queueName}: message ${item.messageId}, delivery ${item.dequeueCount}, failed: ${String(error)}`)
    await queue.updateMessage(item.messageId, item.popReceipt, item.messageText, settings.visibilityTimeoutS)
  }
}

/** The extension writes and expects base64. */
function decodeQueueText(text: string): string {
  const decoded = Buffer.from(text, 'base64')
  return decoded.toString('base64') === text ? decoded.toString() : text
}
