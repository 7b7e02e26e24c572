// An Event Hub of our own behind the IoT Hub: unlike the hub's built-in endpoint it is read by identity, and has more
// consumer groups. Devices keep their order: the hub's route partitions by device.
param token string
param location string
param tags object
param partitions int
param throughputUnits int
param throughputUnitsMax int

resource namespace 'Microsoft.EventHub/namespaces@2024-01-01' = {
  name: 'evhns-${token}'
  location: location
  tags: tags
  sku: { name: 'Standard', tier: 'Standard', capacity: throughputUnits }
  properties: {
    disableLocalAuth: true
    isAutoInflateEnabled: true
    maximumThroughputUnits: throughputUnitsMax
    minimumTlsVersion: '1.2'
  }
}

resource hub 'Microsoft.EventHub/namespaces/eventhubs@2024-01-01' = {
  parent: namespace
  name: 'telemetry'
  // What the app lost is read again from here: longer than any weekend.
  properties: { partitionCount: partitions, messageRetentionInDays: 7 }
}

resource trigger 'Microsoft.EventHub/namespaces/eventhubs/consumergroups@2024-01-01' = {
  parent: hub
  name: 'functions'
}

resource replay 'Microsoft.EventHub/namespaces/eventhubs/consumergroups@2024-01-01' = {
  parent: hub
  name: 'replay'
}

output namespaceName string = namespace.name
output hostName string = '${namespace.name}.servicebus.windows.net'
output eventHubName string = hub.name
output triggerGroup string = trigger.name
output replayGroup string = replay.name
