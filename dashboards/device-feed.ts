/** Devices, alive: asked for now and then, their newest values told of in between. */
import { useEffect, useMemo, useState } from 'preact/hooks'
import type { DeviceView, LiveDevice } from '../contract/api.ts'
import { listen, useChannelState } from './live-channel.ts'
import { useLive } from './live.ts'
import type { Live } from './live.ts'

const pollMs = 2_000
const pollWhileLiveMs = 10_000

/** Newest values by device id, as the live channel tells them. */
export function useLiveDevices(): ReadonlyMap<string, LiveDevice> {
  const [told, setTold] = useState<ReadonlyMap<string, LiveDevice>>(new Map())
  useEffect(() => {
    // By device: a page that nobody sees draws nothing for hours, and is told all the same.
    const waiting = new Map<string, LiveDevice>()
    let frame = 0
    const stop = listen({
      onMessage(message) {
        if (message.kind !== 'devices') return
        for (const device of message.devices) waiting.set(device.deviceId, device)
        frame ||= requestAnimationFrame(() => {
          const arrived = [...waiting]
          waiting.clear()
          frame = 0
          setTold((known) => new Map([...known, ...arrived]))
        })
      },
      onGap() {},
    })
    return () => {
      stop()
      cancelAnimationFrame(frame)
    }
  }, [])
  return told
}

export function useDevices(): Live<DeviceView[]> {
  const isLive = useChannelState() === 'live'
  const asked = useLive<{ devices: DeviceView[] }>('devices', isLive ? pollWhileLiveMs : pollMs)
  const told = useLiveDevices()
  const data = useMemo(() => asked.data?.devices.map((device) => withNewest(device, told.get(device.deviceId))), [asked.data, told])
  return { ...asked, data }
}

export function withNewest(device: DeviceView, told: LiveDevice | undefined): DeviceView {
  if (!told || told.lastSeenMs < device.lastSeenMs) return device
  const newest = new Map(told.signals.map(([signal, timeMs, value]) => [signal, { timeMs, value }]))
  return {
    ...device,
    lastSeenMs: told.lastSeenMs,
    signals: device.signals.map((signal) => {
      const found = newest.get(signal.signal)
      return found && found.timeMs > signal.timeMs ? { ...signal, ...found } : signal
    }),
  }
}
