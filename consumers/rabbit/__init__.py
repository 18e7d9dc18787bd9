"""The bus on RabbitMQ.

Recovery is one mechanism, ours: whatever is lost (consumer, channel, connection, broker) ends its part of the work,
and a loop that waits a little longer each time begins that part anew. The client library is used without its own
recovery, which loops on a refused declaration and keeps objects alive whose broker side is gone.
"""
