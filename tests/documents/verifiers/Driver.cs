using System;
using System.Linq;
using System.Text;

public static class Driver
{
    public static void Main()
    {
        for (string line; (line = Console.In.ReadLine()) != null; )
        {
            var fields = line.Split('\t').Skip(1).Select(Convert.FromBase64String).ToArray();
            var t = fields.Select(Encoding.UTF8.GetString).ToArray();
            Console.WriteLine(line.StartsWith("signature")
                ? Verify.Signature(fields[0], t[1], t[2])
                : Verify.Webhook(fields[0], t[1], t[2], t[3], t[4]));
        }
    }
}
